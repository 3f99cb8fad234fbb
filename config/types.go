package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"tandem/internal/precheck"
)

// Bytes is a size. It is written as a whole number of bytes, or with a unit: KiB, MiB, GiB (KB, MB, GB are
// 1000, 1000², 1000³), in any case.
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10},
	{"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3},
	{"b", 1}, {"", 1},
}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	lower := strings.ToLower(strings.TrimSpace(s))
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(lower, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if errors.Is(err, strconv.ErrRange) || err == nil && (n > (1<<63-1)/u.size || n < -(1<<63-1)/u.size) {
			return 0, errors.New("is too large")
		}
		if err != nil {
			return 0, errors.New("is not a size")
		}
		return Bytes(n * u.size), nil
	}
	return 0, errors.New("is not a size")
}

// String writes the size in the largest unit that it is a whole number of.
func (b Bytes) String() string {
	for _, u := range byteUnits[:3] {
		if b != 0 && int64(b)%u.size == 0 {
			return fmt.Sprintf("%d%siB", int64(b)/u.size, strings.ToUpper(u.suffix[:1]))
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Share is a part of a whole, from 0 to 1. It is written as a number, or in percent: 0.05 or 5%.
type Share float64

// ParseShare reads a share.
func ParseShare(s string) (Share, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	switch {
	case err != nil || f != f:
		return 0, errors.New("is not a share")
	case f < 0 || f > 1:
		return 0, errors.New("is not between 0 and 1")
	}
	return Share(f), nil
}

// String writes the share as a number.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }

// hidden stands where a password or token would.
const hidden = "***"

// Secret is a string that shows only to who asks for it by Reveal.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString, LogValue and MarshalText keep the secret out of %#v, logs and encodings.
func (s Secret) GoString() string             { return strconv.Quote(s.String()) }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// CommandName is a command, or a command and its subcommand with one space between them, in upper case.
type CommandName string

// commandName reads a name. Modules have names such as TS.ADD or bf.add.
func commandName(text string) (CommandName, error) {
	words := strings.Fields(strings.ToUpper(text))
	odd := func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-|", r)
	}
	if len(words) == 0 || len(words) > 2 || strings.ContainsFunc(strings.Join(words, ""), odd) {
		return "", errors.New("is not the name of a command")
	}
	return CommandName(strings.Join(words, " ")), nil
}

// CheckName is the name of an item of the precheck.
type CheckName string

// checkName reads one. The error is as that of setting.set.
func checkName(text string) (CheckName, error) {
	if !precheck.Known(text) {
		return "", errors.New("is no item of the precheck")
	}
	return CheckName(text), nil
}
