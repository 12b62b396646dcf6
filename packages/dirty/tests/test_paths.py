"""Directories of pools: made, in use, left behind."""

from __future__ import annotations

import os
import threading

from server_dirty import paths

HERE = {os.geteuid()}


def left_behind(parent):
    path, lock = paths.make_directory(str(parent))
    os.close(lock)
    return path


def test_directories_of_killed_servers_are_removed_and_those_in_use_are_not(tmp_path):
    dead = left_behind(tmp_path)
    alive, lock = paths.make_directory(str(tmp_path))
    inherited = os.dup(lock)  # a child of a killed server, which still answers calls
    os.close(lock)
    begun = tmp_path / f"{paths.PREFIX}begun"
    begun.mkdir()
    paths.remove_stale(str(tmp_path), HERE)
    assert not os.path.exists(dead)
    assert os.path.exists(alive)
    assert begun.exists()
    os.close(inherited)
    paths.remove_stale(str(tmp_path), HERE)
    assert not os.path.exists(alive)


def test_directories_of_other_users_and_what_links_lead_to_are_left_alone(tmp_path):
    path = left_behind(tmp_path)
    paths.remove_stale(str(tmp_path), set())
    assert os.path.exists(path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(path, elsewhere / "kept")
    (tmp_path / f"{paths.PREFIX}link").symlink_to(elsewhere / "kept")
    lock = elsewhere / "kept" / paths.LOCK
    other = tmp_path / f"{paths.PREFIX}other"
    other.mkdir()
    (other / paths.LOCK).symlink_to(lock)
    paths.remove_stale(str(tmp_path), HERE)
    assert lock.exists()
    assert other.exists()


def test_servers_that_start_at_the_same_time_do_not_remove_each_others_directories(tmp_path):
    made = []

    def start():
        for _ in range(50):
            paths.remove_stale(str(tmp_path), HERE)
            made.append(paths.make_directory(str(tmp_path)))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 150
    for path, lock in made:
        assert os.path.exists(os.path.join(path, paths.LOCK))
        os.close(lock)
