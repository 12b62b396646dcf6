-- The twenty fields of a browser's request.
wrk.headers["Host"] = "www.example.com"
wrk.headers["Connection"] = "keep-alive"
wrk.headers["Cache-Control"] = "max-age=0"
wrk.headers["sec-ch-ua"] = '"Chromium";v="130", "Not?A_Brand";v="99"'
wrk.headers["sec-ch-ua-mobile"] = "?0"
wrk.headers["sec-ch-ua-platform"] = '"Linux"'
wrk.headers["Upgrade-Insecure-Requests"] = "1"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
wrk.headers["Sec-Fetch-Site"] = "same-origin"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
wrk.headers["Sec-Fetch-User"] = "?1"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Referer"] = "https://www.example.com/some/earlier/page?with=query"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
wrk.headers["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8"
wrk.headers["Cookie"] = "session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes"
wrk.headers["If-None-Match"] = '"33a64df551425fcc55e4d42a148795d9f25f89d4"'
wrk.headers["Priority"] = "u=0, i"
wrk.headers["DNT"] = "1"
