package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// vendored are the files of uPlot 1.6.32 as they are on npm; recipe.sh fetches them.
var vendored = map[string]string{
	"LICENSE":           "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
	"uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
	"uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}

func TestTheLibraryIsAsPublished(t *testing.T) {
	entries, err := files.ReadDir("page/vendor/uplot")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(vendored) {
		t.Errorf("%d files, want %d", len(entries), len(vendored))
	}
	for _, e := range entries {
		content, err := files.ReadFile("page/vendor/uplot/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != vendored[e.Name()] {
			t.Errorf("%s has been changed: run recipe.sh", e.Name())
		}
	}
	licence, _ := files.ReadFile("page/vendor/uplot/LICENSE")
	if !strings.Contains(string(licence), "MIT License") {
		t.Error("its licence is not there")
	}
}
