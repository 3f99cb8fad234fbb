package dashboard

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func ask(h *Handler, urlPath string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, urlPath, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// own are the files that were written here, by their names in page.
func own(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(files, "page", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(name, "page/vendor/") {
			return err
		}
		content, err := files.ReadFile(name)
		all[strings.TrimPrefix(name, "page/")] = string(content)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

func TestEveryFileIsServedAsWhatItIs(t *testing.T) {
	h := New()
	for name := range own(t) {
		at := Prefix + name
		if name == "index.html" {
			at = "/"
		}
		if !h.Has(at) {
			t.Errorf("%s is not there", at)
			continue
		}
		w := ask(h, at)
		head := w.Header()
		if w.Code != http.StatusOK || head.Get("Content-Type") != types[path.Ext(name)] || head.Get("Content-Type") == "" {
			t.Errorf("%s: %d %q", at, w.Code, head.Get("Content-Type"))
		}
		policy := head.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none';") {
			t.Errorf("%s: policy %q", at, policy)
		}
		again := ask(h, at, func(r *http.Request) { r.Header.Set("If-None-Match", head.Get("ETag")) })
		if again.Code != http.StatusNotModified {
			t.Errorf("%s: asked again it is %d", at, again.Code)
		}
	}
	for _, urlPath := range []string{"/index.html", Prefix, Prefix + "index.html", Prefix + "../dashboard.go", Prefix + "js"} {
		if h.Has(urlPath) {
			t.Errorf("there is something at %s", urlPath)
		}
	}
}

// TestNothingIsAskedOfOthers: no file names another server, and every file that one names is there.
func TestNothingIsAskedOfOthers(t *testing.T) {
	h := New()
	address := regexp.MustCompile(`(https?:)?//[a-z0-9-]+\.[a-z]`)
	named := regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"|from "\./([^"]+)"`)
	count := 0
	for name, content := range own(t) {
		for _, found := range address.FindAllString(strings.ReplaceAll(content, "http://www.w3.org/2000/svg", ""), -1) {
			t.Errorf("%s names %s", name, found)
		}
		for _, m := range named.FindAllStringSubmatch(content, -1) {
			count++
			at := "/" + m[1]
			if m[2] != "" {
				at = Prefix + path.Join(path.Dir(name), m[2])
			}
			if !h.Has(at) {
				t.Errorf("%s: %s is not there", name, at)
			}
		}
	}
	if count < 15 {
		t.Errorf("only %d names of files found", count)
	}
}

// TestWhatComesFromAServerIsNeverMarkup: a key or a client's name may be anything, a script as well.
func TestWhatComesFromAServerIsNeverMarkup(t *testing.T) {
	for name, content := range own(t) {
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "onclick=", "onload=", "style="} {
			if strings.Contains(content, way) {
				t.Errorf("%s has %s", name, way)
			}
		}
		if strings.HasSuffix(name, ".html") && regexp.MustCompile(`<script>|<style`).MatchString(content) {
			t.Errorf("%s has a script or a style within", name)
		}
	}
}
