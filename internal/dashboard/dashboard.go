// Package dashboard is the page at the admin address that shows a migration live and leads it: files for a browser,
// built into the program, and the headers under which they are served.
//
// The page holds nothing of a migration. Its scripts ask the admin API of the server that it came from, with the token
// that the reader gives them if there must be one, and nobody else: no font, script or picture comes from anywhere else,
// and the policy that is sent along forbids it.
//
// Scripts are modules without a build step: what is in page is what a browser gets. The one library, for charts, is
// uPlot as its authors have published it (page/vendor/uplot, with its licence; see recipe.sh).
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// Prefix begins the paths of all files but the page itself, which is at "/".
const Prefix = "/assets/"

// policy lets the page load its own files, ask its own server, and nothing else; nobody may frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// types are those of the files that there are. What the system would guess depends on the machine.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // LICENSE
}

// file is one file as it is served.
type file struct {
	content   []byte
	mediaType string
	tag       string // names the content
}

// Handler serves the page at "/" and its files below Prefix; what is neither is answered by the caller: see Has.
type Handler struct{ files map[string]file }

// New reads the files.
func New() *Handler {
	h := &Handler{files: map[string]file{}}
	// The files are part of the program: this fails for no reason that a program could meet.
	_ = fs.WalkDir(files, "page", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		at := Prefix + strings.TrimPrefix(name, "page/")
		if at == Prefix+"index.html" {
			at = "/"
		}
		h.files[at] = file{content, types[path.Ext(name)], `"` + hex.EncodeToString(sum[:16]) + `"`}
		return nil
	})
	return h
}

// Has reports whether there is a file at a path of a URL.
func (h *Handler) Has(urlPath string) bool {
	_, there := h.files[urlPath]
	return there
}

// ServeHTTP serves a file, for which Has must be true. A browser asks each time whether it is still the same, so that a
// page never mixes the files of two versions. (http.Handler)
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, there := h.files[r.URL.Path]
	if !there {
		http.NotFound(w, r)
		return
	}
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Content-Type", f.mediaType)
	head.Set("Cache-Control", "no-cache")
	head.Set("ETag", f.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
