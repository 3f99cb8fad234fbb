package instance

import (
	"context"
	"errors"
	"strconv"
)

// UsualLongest is how long a string servers take in one piece where nobody has changed proto-max-bulk-len.
const UsualLongest = 512 << 20

// Longest asks how long a string the server takes in one piece, in bytes (proto-max-bulk-len): one that announces more
// loses its connection. Where the server does not tell, it is UsualLongest.
func (i *Instance) Longest(ctx context.Context) (int64, error) {
	c, err := i.Conn(ctx, controlName, 0)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	v, err := c.Do(ctx, "CONFIG", "GET", "proto-max-bulk-len")
	var refused *ReplyError
	if err != nil && !errors.As(err, &refused) {
		return 0, err
	}
	if err == nil && len(v.Elems) == 2 {
		if n, err := strconv.ParseInt(string(v.Elems[1].Str), 10, 64); err == nil && n > 0 {
			return n, nil
		}
	}
	return UsualLongest, nil
}
