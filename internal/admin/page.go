package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
)

//go:embed page.html
var pageHTML []byte

// pagePolicy lets the page run its own script, ask its own server, and nothing else.
var pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; script-src 'sha256-" + scriptHash(pageHTML) + "'"

// scriptHash names the page's one inline script as a policy does.
func scriptHash(html []byte) string {
	_, rest, _ := bytes.Cut(html, []byte("<script>"))
	script, _, _ := bytes.Cut(rest, []byte("</script>"))
	sum := sha256.Sum256(script)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// page shows the status live. It holds nothing itself: its script asks the API, with the token if need be.
func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	write(w, http.StatusOK, "text/html; charset=utf-8", pageHTML)
}
