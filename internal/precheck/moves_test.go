package precheck

import (
	"fmt"
	"testing"

	"tandem/internal/instance"
	"tandem/internal/moves"
)

// What does not move is no part of any number but its own, and the numbers of databases are those on the target.
func TestWhatDoesNotMove(t *testing.T) {
	source, target := start(t), start(t, "--databases", "4")
	s, d := connect(t, source), connect(t, target)
	var fill [][]string
	for i := range 30 {
		fill = append(fill, []string{"SET", fmt.Sprint("m:", i), "v"}, []string{"SET", fmt.Sprint("s:", i%10), "v"})
	}
	fill = append(fill, []string{"SELECT", "9"}, []string{"SET", "far", "v"}, []string{"SELECT", "5"}, []string{"SET", "m:five", "v"}, []string{"SELECT", "0"})
	if _, err := s.Pipe(t.Context(), fill...); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pipe(t.Context(), []string{"SET", "s:own", "v"}, []string{"SELECT", "3"}, []string{"SET", "m:own", "v"}); err != nil {
		t.Fatal(err)
	}
	filter := moves.New(moves.Rules{Databases: []int{0, 5}, Exclude: []string{"s:*"}})
	filters := map[bool]*moves.Filter{true: filter, false: moves.New(moves.Rules{Databases: []int{0, 5, 9}})}
	narrow := true
	check := func(numbers map[int]int) *Report {
		from, err := instance.New(instance.Source, source.URL(), instance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		to, err := instance.New(instance.Target, target.URL(), instance.Options{})
		if err != nil {
			t.Fatal(err)
		}
		to.Renumber(numbers)
		r, err := Run(t.Context(), from, to, Options{Moves: filters[narrow]})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := check(map[int]int{5: 2})
	r.expect(t, "staying_keys", Warning, "1 key of db9", "some 10 of the others")
	r.expect(t, "target_empty", Success)
	r.expect(t, "large_keys", Success, "31 of 31 keys")
	r.expect(t, "target_databases", Warning, "those with keys fit")
	check(map[int]int{5: 3}).expect(t, "target_empty", Failed, "db3: 1")
	far := check(map[int]int{5: 7})
	far.expect(t, "target_databases", Failed, "database 5 of the source moves to 7")
	taken := check(map[int]int{0: 9, 5: 2})
	taken.expect(t, "target_databases", Failed, "database 0 of the source moves to 9")
	check(nil).expect(t, "target_databases", Failed, "database 5")
	// The remedies: more databases, or other numbers; and everything is chosen.
	target = start(t, "--databases", "16")
	all := check(map[int]int{5: 7})
	all.cured(t, far, "target_databases")
	all.cured(t, r, "target_databases")
	check(map[int]int{5: 2}).cured(t, taken, "target_databases")
	narrow = false
	check(nil).cured(t, r, "staying_keys")
	check(nil).expect(t, "staying_keys", Success, "none was found")
	narrow, target = true, start(t, "--databases", "4")
	if _, err := s.Pipe(t.Context(), []string{"FLUSHDB"}); err != nil {
		t.Fatal(err)
	}
	taken = check(map[int]int{0: 5, 5: 0})
	taken.expect(t, "target_databases", Failed, "clients begin in database 0", "the target's last is 3")
	target = start(t, "--databases", "16")
	check(map[int]int{0: 5, 5: 0}).cured(t, taken, "target_databases")
}
