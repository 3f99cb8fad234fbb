package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Digest is the SHA-256 of the user's password, in whichever form that was given. The password file is read
// at each call, so that a password can be replaced while Tandem runs.
func (u User) Digest() ([sha256.Size]byte, error) {
	var digest [sha256.Size]byte
	switch {
	case u.PasswordFile != "":
		password, err := readPassword(u.PasswordFile)
		if err != nil {
			return digest, err
		}
		return sha256.Sum256([]byte(password)), nil
	case u.PasswordSHA256 != "":
		given, err := hex.DecodeString(u.PasswordSHA256.Reveal())
		if err != nil || len(given) != len(digest) {
			return digest, errors.New("password_sha256 is not a SHA-256 in hex")
		}
		return [sha256.Size]byte(given), nil
	}
	return sha256.Sum256([]byte(u.Password)), nil
}

// ReadToken is the token of the admin address, in whichever form that was given; empty for none.
func (a Admin) ReadToken() (string, error) {
	if a.TokenFile == "" {
		return a.Token.Reveal(), nil
	}
	return readSecret("token", a.TokenFile)
}

// auth checks who may connect.
func (v *validator) auth() {
	a := v.config.Auth
	const key = "auth.users"
	switch {
	case a.Mode == "users" && len(a.Users) == 0 && !v.unread[key]:
		v.add(Problem{Key: "auth.mode", Value: a.Mode, Wrong: "is set while auth.users is empty: nobody could connect",
			Do: "list the users in auth.users, or set server or none"})
	case a.Mode != "users" && len(a.Users) > 0:
		v.add(Problem{Key: key, Wrong: fmt.Sprintf("is set while auth.mode is %s, which has no use for it", a.Mode),
			Do: "set auth.mode: users, or remove it"})
	}
	seen := make(map[string]bool)
	for i, u := range a.Users {
		if wrong, do := u.check(); wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
		if seen[u.Name] {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has the name of element %d twice", i+1), Do: "give each user a name of its own"})
		}
		seen[u.Name] = true
	}
}

// check says what is wrong with one user, as the rest of a sentence about it.
func (u User) check() (wrong, do string) {
	given := 0
	for _, form := range []string{u.Password.Reveal(), u.PasswordFile, u.PasswordSHA256.Reveal()} {
		if form != "" {
			given++
		}
	}
	switch {
	case u.Name == "":
		return "without a name", "name it; the user of clients that give a password alone is default"
	case strings.ContainsAny(u.Name, " \t\r\n\x00"):
		return "whose name has a space in it", "write the name as clients give it"
	case given == 0:
		return "without a password", "give it one of password, password_file and password_sha256"
	case given > 1:
		return "with more than one password", "leave one of password, password_file and password_sha256"
	case u.Password.Reveal() == hidden, u.PasswordSHA256.Reveal() == hidden:
		return "with " + hidden + " for a password, which stands for one that is not shown", "put the password itself there"
	}
	if _, err := u.Digest(); err != nil {
		return "whose password cannot be used", err.Error()
	}
	return "", ""
}

// commands checks what is said of single commands.
func (v *validator) commands() {
	const key = "commands.writes"
	seen := make(map[CommandName]bool)
	for i, w := range v.config.Commands.Writes {
		wrong, do := "", ""
		switch {
		case w.Name == "":
			wrong, do = "without a name", "name the command"
		case seen[w.Name]:
			wrong, do = "that names "+string(w.Name)+" again", "leave one of them"
		case w.FirstKey == 0 && w.LastKey != 0:
			wrong, do = "with a last_key and no first_key", "set first_key too, or neither where the keys are not known"
		case w.LastKey > 0 && w.LastKey < w.FirstKey:
			wrong, do = "whose last_key is before its first_key", "set them as COMMAND INFO has them"
		}
		if wrong != "" {
			v.add(Problem{Key: key, Wrong: fmt.Sprintf("has an element %d %s", i+1, wrong), Do: do})
		}
		seen[w.Name] = true
	}
	v.objects(key)
}

// objects checks the keys of a list's objects against their own tags.
func (v *validator) objects(key string) {
	for _, s := range settings(v.config) {
		if s.key != key {
			continue
		}
		for i, object := range s.objects() {
			for _, f := range object {
				f.key = fmt.Sprintf("%s[%d].%s", key, i+1, f.key)
				v.value(f)
			}
		}
	}
}
