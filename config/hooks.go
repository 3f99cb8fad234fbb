package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tandem/internal/journal"
)

// Secret reads the secret that requests are signed with, empty for none. The file is read at each call, so that it can
// be replaced while Tandem runs.
func (h Hook) Secret() (string, error) {
	if h.SecretFile == "" {
		return "", nil
	}
	secret, err := readPassword(h.SecretFile)
	if err != nil {
		return "", err
	}
	if len(secret) < minTokenLength {
		return "", fmt.Errorf("%s holds less than %d characters", h.SecretFile, minTokenLength)
	}
	return secret, nil
}

// hooks checks whom to tell.
func (v *validator) hooks() {
	const key = "hooks"
	for i, h := range v.config.Hooks {
		if wrong, do := h.check(); wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
	}
	v.objects(key)
}

// check says what is wrong with one hook, as the rest of a sentence about it.
func (h Hook) check() (wrong, do string) {
	switch {
	case h.URL == "" && len(h.Command) == 0:
		return "that tells nobody", "give it a url or a command"
	case h.URL != "" && len(h.Command) > 0:
		return "with a url and a command", "leave one of them, or make two elements"
	case h.URL.Reveal() == hidden:
		return "with " + hidden + " for a url, which stands for one that is not shown", "put the URL itself there"
	case len(h.On) == 0:
		return "that tells of nothing", "list kinds of events in on, or leave it out"
	case h.SecretFile != "" && h.URL == "":
		return "with a secret_file and no url", "remove it: only requests are signed"
	case len(h.Command) > 0 && h.Command[0] == "":
		return "whose command is empty", "write the program and its arguments as a list"
	}
	for _, on := range h.On {
		if !slices.Contains(journal.Kinds, journal.Kind(on)) {
			return fmt.Sprintf("with %q in on, which is no kind of event", on), "choose from " + kinds()
		}
	}
	if h.URL != "" {
		// Its error would repeat the URL.
		if u, err := url.Parse(h.URL.Reveal()); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "whose url is not one", "write http://host/path or https://host/path"
		}
	}
	if _, err := h.Secret(); err != nil {
		return "whose secret cannot be used", err.Error()
	}
	return "", ""
}

// kinds are the kinds of events.
func kinds() string {
	var names []string
	for _, k := range journal.Kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
