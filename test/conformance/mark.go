package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Mark names what may differ between two replies to the same command. The zero Mark: nothing.
type Mark uint8

const (
	// Exact: the same bytes.
	Exact Mark = iota
	// Unordered: the same elements in any order, for what a hash table holds.
	Unordered
	// Near: the same but for numbers, which may lie up to nearBy apart, for times and what is left of them.
	Near
	// Shape: the same types and numbers of elements, for random members.
	Shape
	// Type: the same type of reply, for what a server tells of itself.
	Type
	// ErrorCode: errors that begin with the same word.
	ErrorCode
	// Monitor: what MONITOR shows, but for the time and the client's address.
	Monitor
	// Client: lines of CLIENT LIST, but for ids, addresses, ages, and what buffers there are.
	Client
	// Anything: a reply each.
	Anything
)

var markNames = []string{"exact", "unordered", "near", "shape", "type", "code", "monitor", "client", "anything"}

// nearBy is how far apart two spans of time may be, in their own unit: ms mostly. Points in time, and what is left
// until one in the next century, are further apart: one side of a comparison is played once for all others. They
// are the numbers from aPoint on, in ms.
const nearBy, aPoint, pointsNearBy = 5_000, 1e12, 3 * 3_600_000

// monitored is the beginning of a line of MONITOR: time, database, address.
var monitored = regexp.MustCompile(`^[0-9.]+ \[([0-9]+) [^]]*\]`)

// ofClients are the fields of CLIENT LIST that say what a client is and does.
var ofClients = regexp.MustCompile(`\b(name|flags|capa|db|sub|psub|ssub|multi|watch|cmd|user|redir|resp|lib-name|lib-ver)=[^ \n]*|\n`)

func parseMark(name string) (Mark, error) {
	i := slices.Index(markNames, name)
	if i < 0 {
		return Exact, fmt.Errorf("no such mark: ~%s (there are %s)", name, strings.Join(markNames, ", "))
	}
	return Mark(i), nil
}

func (m Mark) String() string { return markNames[m] }

// equal compares two replies.
func (m Mark) equal(a, b Reply) bool {
	switch m {
	case Unordered:
		return sorted(a).String() == sorted(b).String()
	case Near:
		return near(a, b)
	case Shape:
		return shape(a) == shape(b)
	case Type:
		return a.Kind == b.Kind && a.Null == b.Null
	case ErrorCode:
		return a.Kind == b.Kind && strings.Fields(a.Text + " -")[0] == strings.Fields(b.Text + " -")[0]
	case Monitor:
		return a.Kind == b.Kind && monitored.ReplaceAllString(a.Text, "$1") == monitored.ReplaceAllString(b.Text, "$1")
	case Client:
		return a.Kind == b.Kind && slices.Equal(ofClients.FindAllString(a.Text, -1), ofClients.FindAllString(b.Text, -1))
	case Anything:
		return true
	}
	return a.String() == b.String()
}

// sorted is the reply with the elements of every aggregate in the order of their text; pairs of a map stay
// together.
func sorted(r Reply) Reply {
	if !r.aggregate() {
		return r
	}
	width := 1
	if r.Kind == '%' {
		width = 2
	}
	var groups [][]Reply
	for group := range slices.Chunk(r.Elems, width) {
		of := make([]Reply, len(group))
		for i, e := range group {
			of[i] = sorted(e)
		}
		groups = append(groups, of)
	}
	slices.SortFunc(groups, func(x, y []Reply) int { return strings.Compare(x[0].String(), y[0].String()) })
	r.Elems = slices.Concat(groups...)
	return r
}

func near(a, b Reply) bool {
	if a.Kind != b.Kind || a.Null != b.Null || len(a.Elems) != len(b.Elems) {
		return false
	}
	for i := range a.Elems {
		if !near(a.Elems[i], b.Elems[i]) {
			return false
		}
	}
	if a.Text == b.Text {
		return true
	}
	x, errX := strconv.ParseFloat(a.Text, 64)
	y, errY := strconv.ParseFloat(b.Text, 64)
	apart := float64(nearBy)
	if x > aPoint {
		apart = pointsNearBy
	}
	return errX == nil && errY == nil && x >= 0 && y >= 0 && x-y <= apart && y-x <= apart
}

// shape is the reply without its texts.
func shape(r Reply) string {
	r.Elems = slices.Clone(r.Elems)
	blank(&r)
	return r.String()
}

func blank(r *Reply) {
	for i := range r.Elems {
		r.Elems[i].Elems = slices.Clone(r.Elems[i].Elems)
		blank(&r.Elems[i])
	}
	if !r.IsError() {
		r.Text = ""
	}
}
