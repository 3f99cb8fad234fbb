package instance

import "testing"

func TestEveryDatabaseHasANumberOfItsOwn(t *testing.T) {
	for name, of := range map[string]map[int]int{
		"one to another":            {3: 0},
		"two exchanged":             {0: 1, 1: 0},
		"a chain":                   {1: 2, 2: 5},
		"a long chain, and another": {1: 2, 2: 3, 3: 4, 7: 8},
		"a circle and a chain":      {0: 1, 1: 2, 2: 0, 5: 6},
		"itself":                    {4: 4},
		"none":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := New(Target, "redis://h:1", Options{})
			if err != nil {
				t.Fatal(err)
			}
			i.Renumber(of)
			seen := map[int]int{}
			other := false
			for db := range 16 {
				number := i.Number(db)
				if before, taken := seen[number]; taken {
					t.Fatalf("databases %d and %d are both %d", before, db, number)
				}
				seen[number] = db
				if want, given := of[db]; given && number != want {
					t.Errorf("database %d is %d, want %d", db, number, want)
				}
				if back := i.Database(number); back != db {
					t.Errorf("database %d is %d, and that is %d", db, number, back)
				}
				other = other || number != db
			}
			if i.Renumbers() != other {
				t.Errorf("Renumbers is %v", i.Renumbers())
			}
		})
	}
}
