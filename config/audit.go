package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// Caller is one who may ask the admin address.
type Caller struct {
	// Name is empty for the one with admin.token.
	Name  string
	Token string
	// ReadOnly: nothing may be changed.
	ReadOnly bool
}

// Callers are all who may ask, as the files of their tokens are now; none where everybody may. What is wrong with a file is
// returned, and names no token.
func (a Admin) Callers() ([]Caller, error) {
	var list []Caller
	token, err := a.ReadToken()
	if err == nil {
		err = usableToken(token)
	}
	if err != nil {
		return nil, err
	}
	if token != "" {
		list = append(list, Caller{Token: token})
	}
	for _, t := range a.Tokens {
		token, err := readSecret("token", t.File)
		if err == nil {
			err = usableToken(token)
		}
		if err != nil {
			return nil, fmt.Errorf("token of %s: %w", t.Name, err)
		}
		list = append(list, Caller{Name: t.Name, Token: token, ReadOnly: t.Role == "read"})
	}
	return list, nil
}

// usableToken says what is wrong with a token; none is right.
func usableToken(token string) error {
	switch {
	case token == "":
	case len(token) < minTokenLength:
		return fmt.Errorf("it is shorter than %d characters: make one with: openssl rand -hex 32", minTokenLength)
	case strings.ContainsFunc(token, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return fmt.Errorf("it has characters that an HTTP header cannot carry: make one with: openssl rand -hex 32")
	}
	return nil
}

// tokens checks admin.tokens.
func (v *validator) tokens() {
	const key = "admin.tokens"
	a := v.config.Admin
	names, owners := map[string]bool{}, map[string]string{}
	if token, err := a.ReadToken(); err == nil && token != "" {
		owners[token] = "admin.token"
	}
	for i, t := range a.Tokens {
		wrong, do := "", ""
		token := ""
		switch {
		case t.Name == "":
			wrong, do = "without a name", "name who has it"
		case len(t.Name) > 64 || strings.ContainsFunc(t.Name, notInCallerName):
			wrong, do = "whose name has characters that it cannot have, or more than 64", "write letters, digits, and any of -_.@"
		case names[t.Name]:
			wrong, do = "that has the name of another one", "give each a name of its own"
		case t.File == "":
			wrong, do = "without a file", "name the file that holds its token"
		default:
			var err error
			if token, err = readSecret("token", t.File); err == nil {
				err = usableToken(token)
			}
			if err != nil {
				wrong, do = "whose token cannot be used", err.Error()
			}
		}
		if other := owners[token]; wrong == "" && other != "" {
			wrong, do = "with the same token as "+other, "give each a token of its own, or nobody could tell who it was"
		}
		if token != "" {
			owners[token] = t.Name
		}
		names[t.Name] = true
		if wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
	}
	v.objects(key)
}

func notInCallerName(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.@", r)
}

// audit checks that the record can be where it is to be. Whether it can be written shows when it is opened.
func (v *validator) audit() {
	file := v.config.Audit.File
	if file == "" {
		return
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		v.add(Problem{Key: "audit.file", Value: file, Wrong: "is in a directory that is not there", Do: "make the directory, or name another file"})
	} else if info, err := os.Stat(file); err == nil && info.IsDir() {
		v.add(Problem{Key: "audit.file", Value: file, Wrong: "is a directory", Do: "name a file in it"})
	}
}
