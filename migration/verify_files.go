package migration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"tandem/backfill"
	"tandem/internal/instance"
	"tandem/internal/status"
)

// A verify has two files in the state directory: verify-N.jsonl lists what it has found, a line for each difference, and
// verify-N.json says how far it has come, as long as it runs. A process that finds one of the latter goes on with it. What
// cannot be written costs the files, not the verify.
const (
	verifyPrefix = "verify-"
	listSuffix   = ".jsonl"
	pointSuffix  = ".json"
)

// savedVerify is how far a verify has come.
type savedVerify struct {
	ID     string `json:"id"`
	Mode   string `json:"mode"`
	Repair bool   `json:"repair"`
	By     string `json:"by"`
	// Primary is whom it compares the other one with: after a change of the roles it is of no more use.
	Primary instance.Role `json:"primary"`
	BeganAt int64         `json:"began_at"`
	// Different is how many were found to differ by then, and Listed how many of them are in the list.
	Different int64 `json:"different"`
	Listed    int   `json:"listed"`
	// Point is nil until there is one.
	Point *backfill.VerifyPoint `json:"point"`
}

// verifyFiles are the files of one verify.
type verifyFiles struct {
	dir, id string
	log     *slog.Logger

	mu     sync.Mutex  // held over what is written while the verify runs
	list   *os.File    // nil as long as nothing is listed
	exists atomic.Bool // there is a list
	sick   bool        // something could not be written, and that was said
}

func (f *verifyFiles) path(suffix string) string { return verifyPath(f.dir, f.id, suffix) }

func verifyPath(dir, id, suffix string) string { return filepath.Join(dir, verifyPrefix+id+suffix) }

// failed says, once, that a file cannot be written.
func (f *verifyFiles) failed(err error) {
	if err != nil && !f.sick {
		f.sick = true
		f.log.Warn("a file of a verify cannot be written; the verify goes on", "id", f.id, "error", err)
	}
}

// append adds a difference to the list.
func (f *verifyFiles) append(d status.Difference) {
	line, err := json.Marshal(d)
	if err == nil && f.list == nil {
		f.list, err = os.OpenFile(f.path(listSuffix), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		f.exists.Store(f.list != nil)
	}
	if err == nil {
		_, err = f.list.Write(append(line, '\n'))
	}
	f.failed(err)
}

// listed is where the list is, empty if there is none.
func (f *verifyFiles) listed() string {
	if !f.exists.Load() {
		return ""
	}
	return f.path(listSuffix)
}

// save writes how far the verify has come.
func (f *verifyFiles) save(s savedVerify) {
	f.failed(writeWhole(f.path(pointSuffix), func(w io.Writer) error { return json.NewEncoder(w).Encode(s) }))
}

// close closes the list. ended: the verify is not to go on in another process.
func (f *verifyFiles) close(ended bool) {
	if f.list != nil {
		f.failed(f.list.Close())
	}
	if ended {
		if err := os.Remove(f.path(pointSuffix)); err != nil && !os.IsNotExist(err) {
			f.failed(err)
		}
	}
}

// takeUp reads the list of an earlier process up to the n-th difference, and cuts off the rest: that is found again.
func (f *verifyFiles) takeUp(n int) (found []status.Difference) {
	if n == 0 {
		_ = os.Remove(f.path(listSuffix)) // it is made when there is something to list
		return nil
	}
	data, err := os.ReadFile(f.path(listSuffix))
	if err != nil {
		f.failed(err)
		return nil
	}
	size := 0
	for line := range bytes.Lines(data) {
		var d status.Difference
		if len(found) == n || json.Unmarshal(line, &d) != nil {
			break
		}
		found = append(found, d)
		size += len(line)
	}
	f.list, err = os.OpenFile(f.path(listSuffix), os.O_WRONLY|os.O_APPEND, 0o600)
	f.exists.Store(f.list != nil)
	if err == nil {
		err = f.list.Truncate(int64(size))
	}
	f.failed(err)
	return found
}

// verifyFilesIn looks through a state directory: which is the highest number of a verify, and which were interrupted.
func verifyFilesIn(dir string) (highest int, interrupted []savedVerify, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, nil, fmt.Errorf("look for verifies: %w", err)
	}
	for _, e := range entries {
		n, suffix, ok := verifyNumber(e.Name())
		if !ok {
			continue
		}
		highest = max(highest, n)
		if suffix != pointSuffix {
			continue
		}
		var s savedVerify
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil || s.ID != strconv.Itoa(n) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // it cannot be taken up
			continue
		}
		interrupted = append(interrupted, s)
	}
	return highest, interrupted, nil
}

// verifyNumber reads the name of a file of a verify.
func verifyNumber(name string) (n int, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(name, verifyPrefix)
	suffix = filepath.Ext(rest)
	n, err := strconv.Atoi(strings.TrimSuffix(rest, suffix))
	return n, suffix, ok && err == nil && n > 0 && (suffix == listSuffix || suffix == pointSuffix)
}

// pruneLists removes the lists of all but the last verifies.
func pruneLists(dir string, keep int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for lists of verifies: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		if n, suffix, ok := verifyNumber(e.Name()); ok && suffix == listSuffix {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers[:max(0, len(numbers)-keep)] {
		if err := os.Remove(verifyPath(dir, strconv.Itoa(n), listSuffix)); err != nil {
			return fmt.Errorf("remove an old list of a verify: %w", err)
		}
	}
	return nil
}
