package history

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func TestTheLastHourIsKept(t *testing.T) {
	var h History
	if got := h.After(0); got == nil || len(got) != 0 {
		t.Errorf("before the first: %v", got)
	}
	const added = Length + 700
	for i := 1; i <= added; i++ {
		h.Add(Sample{At: int64(i)})
	}
	all := h.After(0)
	if len(all) != Length || all[0].At != added-Length+1 || all[Length-1].At != added {
		t.Fatalf("%d samples, from %d to %d", len(all), all[0].At, all[len(all)-1].At)
	}
	for i := 1; i < len(all); i++ {
		if all[i].At != all[i-1].At+1 {
			t.Fatalf("%d follows %d", all[i].At, all[i-1].At)
		}
	}
	for after, want := range map[int64]int{added: 0, added - 3: 3, added + 9: 0} {
		if got := h.After(after); len(got) != want {
			t.Errorf("after %d: %d samples, want %d", after, len(got), want)
		}
	}
	if got := cap(h.ring); got > 2*Length {
		t.Errorf("it holds room for %d", got)
	}
}

// A column that a chart would never see, or one that shows another's numbers, is a mistake in the table.
func TestEveryNumberHasItsColumn(t *testing.T) {
	var s Sample
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Float64 {
			v.Field(i).SetFloat(float64(i))
		} else {
			v.Field(i).SetInt(int64(i))
		}
	}
	b, err := json.Marshal(Series{s, {LagMs: Unknown, CopiesPerS: 1.0 / 3}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		IntervalMs int64 `json:"interval_ms"`
		Columns    []string
		Rows       [][]*float64
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.IntervalMs != 1000 || len(got.Columns) != v.NumField() || got.Columns[0] != "at" || len(got.Rows) != 2 {
		t.Fatalf("%s", b)
	}
	var back Series
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 2 || back[0] != s || !math.IsNaN(back[1].LagMs) || back[1].CopiesPerS != 0.333 {
		t.Errorf("it came back as %+v, %v", back, err)
	}
	seen := map[float64]bool{}
	for _, n := range got.Rows[0] {
		seen[*n] = true
	}
	if len(seen) != v.NumField() {
		t.Errorf("%d different numbers in a row of %d", len(seen), v.NumField())
	}
	for i, name := range got.Columns {
		switch n := got.Rows[1][i]; name {
		case "lag_ms":
			if n != nil {
				t.Errorf("an unknown lag is %v", *n)
			}
		case "copies_per_s":
			if n == nil || *n != 0.333 {
				t.Errorf("a third is %v", n)
			}
		}
	}
}

// A page or a program may be older or newer than the server that it asks.
func TestColumnsOfAnotherVersion(t *testing.T) {
	var s Series
	if err := json.Unmarshal([]byte(`{"columns":["lag_ms","novelty","at"],"rows":[[1.5,7,1000],[null,null,2000,3],[2]]}`), &s); err != nil {
		t.Fatal(err)
	}
	if len(s) != 3 || s[0].At != 1000 || s[0].LagMs != 1.5 || !math.IsNaN(s[0].ReadsPerS) || s[1].At != 2000 || !math.IsNaN(s[1].LagMs) || s[2].LagMs != 2 {
		t.Errorf("%+v", s)
	}
	for _, wrong := range []string{`[]`, `{"rows":[["a"]]}`, `{"columns":1}`} {
		if err := json.Unmarshal([]byte(wrong), &s); err == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}
