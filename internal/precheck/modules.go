package precheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tandem/internal/instance"
)

// module is one of MODULE LIST.
type module struct {
	name    string
	version int64
}

// listModules asks for them. told is false where the server does not tell.
func (s *side) listModules(ctx context.Context) (all []module, told bool, err error) {
	v, err := s.conn.Do(ctx, "MODULE", "LIST")
	var reply *instance.ReplyError
	switch {
	case errors.As(err, &reply):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	for _, e := range v.Elems {
		var m module
		for i := 0; i+1 < len(e.Elems); i += 2 {
			switch string(e.Elems[i].Str) {
			case "name":
				m.name = string(e.Elems[i+1].Str)
			case "ver":
				m.version = e.Elems[i+1].Int
			}
		}
		all = append(all, m)
	}
	return all, true, nil
}

// targetModules compares the modules, and tries whether the target takes a key of each type of theirs.
func targetModules(ctx context.Context, r *run, _ *side) finding {
	m, err := r.look(ctx)
	if err != nil {
		return broken(err)
	}
	var refused []string
	for _, kind := range slices.Sorted(maps.Keys(m.modules)) {
		why, err := r.tryModuleKey(ctx, m.modules[kind])
		switch {
		case err != nil:
			return broken(err)
		case why != "":
			refused = append(refused, fmt.Sprintf("type %s (%s): %s", kind, m.modules[kind], why))
		}
	}
	if len(refused) > 0 {
		return failed("load the modules of the source on the target, in the same versions, or delete the keys of these types",
			"the target does not take keys that the source has: %s", strings.Join(refused, "; "))
	}
	source, told, err := r.source.listModules(ctx)
	target, toldToo, err2 := r.target.listModules(ctx)
	if err := errors.Join(err, err2); err != nil {
		return broken(err)
	}
	if !told || !toldToo {
		return success("not told (MODULE LIST is refused); no key of those looked at is of a module")
	}
	missing := lacking(source, target)
	switch {
	case len(missing) > 0:
		return warning("load them on the target, or have clients do without them before the cutover",
			"the target lacks, or has older: %s", strings.Join(missing, ", "))
	case len(source) == 0:
		return success("the source has none")
	}
	return success("the target has those of the source")
}

// builtIn are modules that come with a server whether anybody uses them or not: what runs scripts in Valkey 9.1, and
// the vector sets of Redis 8, of which the keys tell.
var builtIn = []string{"lua", "vectorset"}

// lacking are the modules of source that are not in target, or older there.
func lacking(source, target []module) (missing []string) {
	for _, x := range source {
		there := slices.ContainsFunc(target, func(y module) bool { return y.name == x.name && y.version >= x.version })
		if !there && !slices.Contains(builtIn, x.name) {
			missing = append(missing, fmt.Sprintf("%s %d", x.name, x.version))
		}
	}
	return missing
}

// tryModuleKey restores a key in the scratch key of the target; why is empty if that is taken.
func (r *run) tryModuleKey(ctx context.Context, k sampledKey) (why string, err error) {
	if k.size > largestRead {
		return "", nil
	}
	c := r.source.conn
	replies, err := c.Pipe(ctx, []string{"SELECT", strconv.Itoa(k.db)}, []string{"DUMP", k.name}, []string{"SELECT", "0"})
	if err != nil {
		return "", err
	}
	if v := replies[1]; v.IsError() || len(v.Str) == 0 {
		return "", nil // it has gone, or cannot be dumped
	}
	payload, _ := r.target.carried(string(replies[1].Str)) // as the copier would write it
	_, err = r.target.conn.Do(ctx, "RESTORE", r.scratch, scratchTTL, payload, "REPLACE")
	var reply *instance.ReplyError
	switch {
	case errors.As(err, &reply):
		return reply.Text, nil
	case err != nil:
		return "", err
	}
	return "", r.remove(ctx, r.target)
}
