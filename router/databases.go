package router

import (
	"strconv"

	"tandem/internal/resp"
)

// Commands that name a database besides the session's: MOVE, COPY with DB, SWAPDB.

// databaseArgs returns the indices of the arguments that are databases' numbers.
func (c *Command) databaseArgs(args [][]byte) []int {
	switch {
	case c.Name == "MOVE" && len(args) == 3:
		return []int{2}
	case c.Name == "SWAPDB" && len(args) == 3:
		return []int{1, 2}
	case c.Name == "COPY":
		var at []int
		for i := 3; i+1 < len(args); i++ {
			if equalFold(args[i], "DB") {
				i++
				at = append(at, i)
			}
		}
		return at
	}
	return nil
}

// NamesDatabases reports whether the request names databases by their numbers. SELECT is not meant: it is the session's.
func (c *Command) NamesDatabases(args [][]byte) bool { return len(c.databaseArgs(args)) > 0 }

// WithNumbers returns the request as an array with other numbers of the databases that it names. What is no number is
// left as it is: the server says what is wrong with it.
func (c *Command) WithNumbers(args [][]byte, number func(db int) int) []byte {
	changed := append([][]byte(nil), args...)
	for _, i := range c.databaseArgs(args) {
		if db, ok := parseInt(args[i]); ok && db >= 0 && db == int64(int(db)) {
			changed[i] = strconv.AppendInt(nil, int64(number(int(db))), 10)
		}
	}
	return resp.AppendArgs(nil, changed)
}
