package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tandem/internal/journal"
	"tandem/internal/status"
)

// story is a migration with all that can happen in one.
func story() []journal.Event {
	at, seq := int64(1_700_000_000_000), int64(0)
	var events []journal.Event
	add := func(after time.Duration, e journal.Event) {
		at += after.Milliseconds()
		seq++
		e.At, e.Seq = at, seq
		events = append(events, e)
	}
	n := func(pairs ...any) map[string]float64 {
		m := map[string]float64{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = float64(pairs[i+1].(int))
		}
		return m
	}
	add(0, journal.Event{Kind: journal.Process, Name: "tandem", State: journal.Begins})
	add(0, journal.Event{Kind: journal.Phase, Name: status.Passthrough})
	add(time.Minute, journal.Event{Kind: journal.Step, Name: "start", State: journal.Done})
	add(0, journal.Event{Kind: journal.Phase, Name: status.Backfill})
	add(0, journal.Event{Kind: journal.Sweep, Name: "all", State: journal.Begins, Message: "the migration begins"})
	add(time.Second, journal.Event{Kind: journal.Fault, Name: "secondary_down", Instance: "target", State: journal.Begins, Message: "refused",
		Numbers: n("seen_ms", 500)})
	add(2*time.Second, journal.Event{Kind: journal.Fault, Name: "secondary_down", Instance: "target", State: journal.Ends, Numbers: n("lasted_ms", 2500)})
	add(time.Second, journal.Event{Kind: journal.Process, Name: "tandem", State: journal.Begins, Numbers: n("crashed", 1)})
	add(0, journal.Event{Kind: journal.Sweep, Name: "all", State: journal.Begins, Message: "the migration begins"})
	add(time.Minute, journal.Event{Kind: journal.Sweep, Name: "all", State: journal.Done, Numbers: n("keys", 1000, "copied", 900)})
	add(0, journal.Event{Kind: journal.Phase, Name: status.Synced})
	add(time.Minute, journal.Event{Kind: journal.Verify, Name: "full", State: journal.Begins})
	add(time.Second, journal.Event{Kind: journal.Verify, Name: "full", State: journal.Done, Message: "1,000 keys compared, 0 different",
		Numbers: n("compared", 1000, "took_ms", 1000)})
	add(0, journal.Event{Kind: journal.Step, Name: "cutover", State: journal.Undone, Message: "slow <disk>"})
	add(0, journal.Event{Kind: journal.Step, Name: "cutover", State: journal.Done, Numbers: n("pause_ms", 12)})
	add(0, journal.Event{Kind: journal.Phase, Name: status.Reversed})
	add(0, journal.Event{Kind: journal.Lag, Name: "lag", Instance: "source", State: journal.Begins})
	return events
}

func made(events []journal.Event, phase string) Report {
	s := status.New()
	s.Phase, s.Primary = phase, "target"
	s.Duplicates.Found, s.Duplicates.Overwritten = 3, 2
	return Make(Input{
		ID: "0123456789abcdef", Now: time.UnixMilli(events[len(events)-1].At + 10_000), Status: s,
		Source: Server{Address: "old:6379", Version: "7.0.15", Keys: status.Known(int64(1000))}, Target: Server{Address: "new:6379"},
		Events: events, Tally: Tally{
			status.Backfill: {KeysCopied: 900, CopiedBytes: 1 << 20, ServedMs: 64_000},
			status.Synced:   {EffectsForwarded: 50, ForeignWrites: 1, ShadowReads: 10},
		},
	})
}

func TestAReportTellsTheStory(t *testing.T) {
	r := made(story(), status.Reversed)
	if r.Verdict.Result != Equal || !strings.Contains(r.Verdict.Text, "1,000 keys compared, 0 different") {
		t.Errorf("verdict %+v", r.Verdict)
	}
	var lasted []int64
	var names []string
	for _, p := range r.Phases {
		names, lasted = append(names, p.Name), append(lasted, p.LastedMs)
	}
	if !reflect.DeepEqual(names, []string{"passthrough", "backfill", "synced", "reversed"}) || !reflect.DeepEqual(lasted, []int64{60_000, 64_000, 61_000, 10_000}) {
		t.Errorf("phases %v lasted %v", names, lasted)
	}
	if r.Phases[1].Traffic.KeysCopied != 900 || r.Total.KeysCopied != 900 || r.Total.EffectsForwarded != 50 {
		t.Errorf("traffic %+v, in all %+v", r.Phases[1].Traffic, r.Total)
	}
	if ms, _ := r.LongestPauseMs.Get(); ms != 12 || len(r.Steps) != 3 || r.Processes != (Processes{Starts: 2, Crashes: 1}) {
		t.Errorf("pause %v, steps %+v, processes %+v", ms, r.Steps, r.Processes)
	}
	down := Fault{Name: "secondary_down", Instance: "target", Times: 1, LastAt: story()[5].At - 500, LastedMs: 2500, LongestMs: 2500, Message: "refused"}
	if len(r.Faults) != 2 || r.Faults[0] != down || !r.Faults[1].Standing || r.Faults[1].Name != "lag" {
		t.Errorf("faults %+v", r.Faults)
	}
	if len(r.Sweeps) != 2 || r.Sweeps[0].State != "interrupted" || r.Sweeps[1].State != status.Done || r.Sweeps[1].Why != "the migration begins" {
		t.Errorf("sweeps %+v", r.Sweeps)
	}
	if at, _ := r.BeganAt.Get(); at != story()[3].At || r.Incomplete != "" {
		t.Errorf("began at %d, incomplete: %q", at, r.Incomplete)
	}
}

func TestTheVerdict(t *testing.T) {
	base := story()
	end := base[len(base)-1]
	with := func(more ...journal.Event) []journal.Event {
		events := append([]journal.Event(nil), base...)
		for i, e := range more {
			e.Seq, e.At = end.Seq+int64(i)+1, end.At+int64(i+1)*1000
			events = append(events, e)
		}
		return events
	}
	verifiedBy := func(mode string, different float64) journal.Event {
		return journal.Event{Kind: journal.Verify, Name: mode, State: journal.Done, Numbers: map[string]float64{"different": different, "compared": 9}}
	}
	verified := func(different float64) journal.Event { return verifiedBy("full", different) }
	onlyNames := verifiedBy("keys", 0)
	onlyNames.At = base[11].At
	swept := journal.Event{Kind: journal.Sweep, State: journal.Begins, Message: "restarted"}
	shadow := journal.Event{Kind: journal.Difference, Name: "shadow"}
	failed := journal.Event{Kind: journal.Verify, Name: "full", State: journal.Failed}
	for name, c := range map[string]struct {
		events []journal.Event
		phase  string
		want   string
	}{
		"verified":                     {base, status.Reversed, Equal},
		"a sweep since":                {with(swept), status.Reversed, Unverified},
		"a sweep, and a verify since":  {with(swept, verified(0)), status.Reversed, Equal},
		"different":                    {with(verified(1)), status.Reversed, Different},
		"different, and mended":        {with(verified(1), verified(0)), status.Reversed, Equal},
		"different, and names alike":   {with(verified(1), verifiedBy("keys", 0), verifiedBy("sample", 0)), status.Reversed, Different},
		"names alike after all else":   {with(verifiedBy("keys", 0)), status.Reversed, Equal},
		"a sweep, and a sample since":  {with(swept, verifiedBy("sample", 0)), status.Reversed, Unverified},
		"only names":                   {append(base[:11:11], onlyNames), status.Synced, Unverified},
		"a verify that failed":         {with(failed), status.Reversed, Equal},
		"a read that differed":         {with(shadow), status.Reversed, Different},
		"a read that differed, mended": {with(shadow, verified(0)), status.Reversed, Equal},
		"never verified":               {base[:11], status.Synced, Unverified},
		"backfill":                     {base[:5], status.Backfill, Running},
		"not started":                  {base[:2], status.Passthrough, Running},
	} {
		if got := made(c.events, c.phase).Verdict; got.Result != c.want || got.Text == "" {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	if r := made(story()[3:], status.Reversed); !strings.Contains(r.Incomplete, "not in the journal any more") {
		t.Errorf("incomplete: %q", r.Incomplete)
	}
	events := story()
	if r := made(append(events[:5:5], events[6:]...), status.Reversed); !strings.Contains(r.Incomplete, "could not be written") {
		t.Errorf("incomplete: %q", r.Incomplete)
	}
}

func TestListsOfTheJSONAreNeverNull(t *testing.T) {
	data, err := json.Marshal(Make(Input{Now: time.Now(), Status: status.New()}))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"phases", "steps", "faults", "sweeps", "verifies"} {
		if !strings.Contains(string(data), `"`+list+`":[]`) {
			t.Errorf("%s is not [] in %s", list, data)
		}
	}
}

// The page is complete in itself and escapes what servers have said.
func TestThePageIsCompleteInItself(t *testing.T) {
	var b strings.Builder
	if err := made(story(), status.Reversed).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"Both servers were compared and are equal.", "old:6379", "slow &lt;disk&gt;", "secondary_down", "12.0 ms", "the migration begins"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "src=", "href=", "url(", "@import", "http://", "https://"} {
		if strings.Contains(page, never) {
			t.Errorf("the page holds %q", never)
		}
	}
}

func TestTheTextSaysTheSame(t *testing.T) {
	var b strings.Builder
	if err := made(story(), status.Reversed).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Both servers were compared and are equal.", "once, for 12.0 ms", "900 keys copied (1.00 MiB)", "2 starts, 1 crash\n",
		"3 keys were on the target before, 0 of them there alone: 2 overwritten", "it has not passed"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &b)
		}
	}
}

func TestTheTallyOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	tally, err := ReadTally(dir)
	if err != nil || len(tally) != 0 {
		t.Fatalf("a new one: %v, %v", tally, err)
	}
	before := Traffic{Commands: 3, ShadowDifferences: 1}
	now := Traffic{Commands: 10, ShadowDifferences: 1, ServedMs: 5}
	tally["synced"] = now.Since(before)
	if err := tally.Write(dir); err != nil {
		t.Fatal(err)
	}
	again, err := ReadTally(dir)
	if err != nil || again["synced"] != (Traffic{Commands: 7, ServedMs: 5}) {
		t.Errorf("came back as %+v, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(dir, tallyFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = ReadTally(dir); err == nil || again == nil {
		t.Errorf("a damaged one: %v, %v", again, err)
	}
	again["x"] = Traffic{} // it can be used all the same
}

// A number that is forgotten in fields would be lost at each restart.
func TestAllNumbersOfTheTrafficAreCounted(t *testing.T) {
	var a Traffic
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(i + 1))
	}
	sum := a
	sum.Add(a)
	for i, s := 0, reflect.ValueOf(sum); i < s.NumField(); i++ {
		if s.Field(i).Int() != int64(2*(i+1)) {
			t.Errorf("%s is not added", s.Type().Field(i).Name)
		}
	}
	if sum.Since(a) != a {
		t.Errorf("the difference is %+v", sum.Since(a))
	}
}
