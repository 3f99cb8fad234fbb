package router

import "bytes"

// The effects of scripts and functions, and of what loads them.

// scriptKeys: EVAL script n key ... arg ..., and the like. There may be none, and no limit to what others a
// script touches.
func scriptKeys(dst []Key, args [][]byte) ([]Key, bool) { return declaredKeys(dst, args, true) }

// scriptReadKeys is scriptKeys for the forms that may not write.
func scriptReadKeys(dst []Key, args [][]byte) ([]Key, bool) { return declaredKeys(dst, args, false) }

func declaredKeys(dst []Key, args [][]byte, write bool) ([]Key, bool) {
	n, ok := parseInt(args[2])
	if !ok || n < 0 || n > int64(len(args)-3) {
		return dst, false
	}
	for i := range int(n) {
		dst = append(dst, Key{Arg: 3 + i, DB: -1, Write: write})
	}
	return dst, true
}

// scriptEffect is a copy of the declared keys, also after an error: what a script wrote before it stays.
// Only of an error that says that nothing ran nothing has come.
func scriptEffect(e *Effect, _ *Env, args [][]byte, reply []byte, _ [][]byte) {
	if isError(reply) {
		if _, ok := scriptKeys(nil, args); !ok || refusedUnseen(args, reply) || notFound(reply) {
			return
		}
	}
	e.copy()
}

// refusedUnseen reports whether an error was given by the server before it began with the command, whatever
// the command is. Errors that a command inside a script may give as well, and the script hand on, are not
// among them.
func refusedUnseen(args [][]byte, reply []byte) bool {
	for _, prefix := range []string{
		"-NOAUTH Authentication required", "-LOADING Redis is loading the dataset", "-LOADING Valkey is loading the dataset",
		"-BUSY Redis is busy", "-BUSY Valkey is busy",
	} {
		if bytes.HasPrefix(reply, []byte(prefix)) {
			return true
		}
	}
	for _, prefix := range []string{
		"-ERR unknown command ", "-ERR wrong number of arguments for ", "-NOPERM ",
	} {
		if bytes.HasPrefix(reply, []byte(prefix)) && quotes(reply, args[0]) {
			return true
		}
	}
	return false
}

// quotes reports whether a text has the name in quotes, in any case: 'name' or `name`.
func quotes(text, name []byte) bool {
	for i := 0; i+len(name)+1 < len(text); i++ {
		if (text[i] == '\'' || text[i] == '`') && bytes.EqualFold(text[i+1:i+1+len(name)], name) {
			end := text[i+1+len(name)]
			if end == '\'' || end == '`' || end == '|' {
				return true
			}
		}
	}
	return false
}

// refusedFirst reports whether an error is one that a server gives instead of beginning with a command that is
// flagged as a write. Those that a module may be given by what it calls, and hand on, are not among them: that a key
// is of the wrong type, that there is no memory.
func refusedFirst(reply []byte) bool {
	for _, prefix := range []string{
		"-READONLY ", "-MISCONF ", "-NOREPLICAS ", "-NOPERM No permissions to access a", "-NOPERM this user has no permissions to access ",
		"-MOVED ", "-ASK ", "-TRYAGAIN ", "-CROSSSLOT ", "-CLUSTERDOWN ",
	} {
		if bytes.HasPrefix(reply, []byte(prefix)) {
			return true
		}
	}
	return false
}

// notFound reports whether there was no script or function to run. No script can hand on these errors from a
// command that it calls, for none may call another.
func notFound(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("-NOSCRIPT No matching script")) ||
		string(reply) == "-ERR Function not found\r\n"
}

// scriptLoadEffect: SCRIPT LOAD script answers the script's hash, which is the same everywhere.
func scriptLoadEffect(e *Effect, _ *Env, _ [][]byte, reply []byte, _ [][]byte) {
	e.forwardBlind(ExpectSame(reply))
}

// scriptFlushEffect: SCRIPT FLUSH [ASYNC|SYNC]; the option came with 6.2.
func scriptFlushEffect(e *Effect, env *Env, args [][]byte, _ []byte, _ [][]byte) {
	if len(args) == 2 || redis62.in(env.Secondary) {
		e.forwardBlind(ExpectOK())
		return
	}
	e.begin(2, "SCRIPT", ExpectOK())
	e.argText("FLUSH")
	e.Blind = true
}

// functionLoadEffect: FUNCTION LOAD [REPLACE] code answers the library's name. What the secondary has by
// that name is replaced: the primary had none, or replaced it.
func functionLoadEffect(e *Effect, env *Env, args [][]byte, reply []byte, _ [][]byte) {
	switch {
	case !redis70.in(env.Secondary):
		e.copy()
		return
	case len(args) != 3:
		e.forwardBlind(ExpectSame(reply))
		return
	}
	e.begin(4, "FUNCTION", ExpectSame(reply))
	e.argText("LOAD")
	e.argText("REPLACE")
	e.arg(args[2])
	e.Blind = true
}

// functionRestoreEffect: FUNCTION RESTORE payload [FLUSH|APPEND|REPLACE], of which APPEND, the default, has
// found no library of the same name on the primary.
func functionRestoreEffect(e *Effect, env *Env, args [][]byte, _ []byte, _ [][]byte) {
	switch {
	case !redis70.in(env.Secondary):
		e.copy()
		return
	case len(args) == 4 && !equalFold(args[3], "APPEND"):
		e.forwardBlind(ExpectOK())
		return
	}
	e.begin(4, "FUNCTION", ExpectOK())
	e.argText("RESTORE")
	e.arg(args[2])
	e.argText("REPLACE")
	e.Blind = true
}

// everywhereOK: FUNCTION DELETE and FUNCTION FLUSH. That the secondary has no such library is an error and
// so a mismatch: its functions were not the same.
func everywhereOK(e *Effect, _ *Env, _ [][]byte, _ []byte, _ [][]byte) { e.forwardBlind(ExpectOK()) }
