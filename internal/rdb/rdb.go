// Package rdb knows the payloads of DUMP: which a server reads, and how to write one anew for a server that does
// not know the form in which another wrote it.
//
//	payload = type byte, value, version (2 bytes), CRC-64 of all before (8 bytes)
//
// A server refuses a payload whose version is above its own, whatever is in it, and then one whose type byte it does
// not know. The version says nothing of how the value is to be read: the type byte alone does. So a payload of a newer
// server is made readable by another version where the type is known to both (strings, sets, large hashes, ...), and by
// being written as an older type of the same meaning where it is not (listpacks, hashes whose fields expire, streams).
//
// What a server reads is not looked up by its version but asked (Questions): providers' servers are not what their
// version says. Nothing here does I/O. Payloads come from servers, so none of them can make a function here panic, or
// use more memory than its limit.
package rdb

import (
	"encoding/binary"
	"errors"
)

// The type bytes that values begin with. The numbers up to StreamListpacks3 mean the same in all servers; from 22 on
// Redis and Valkey number differently.
const (
	typeString           = 0
	typeList             = 1
	typeSet              = 2
	typeHash             = 4
	typeZSet2            = 5
	typeModule           = 7
	typeIntset           = 11
	typeZSetZiplist      = 12
	typeHashZiplist      = 13
	typeQuicklist        = 14
	typeStreamListpacks  = 15
	typeHashListpack     = 16
	typeZSetListpack     = 17
	typeQuicklist2       = 18
	typeStreamListpacks2 = 19
	typeSetListpack      = 20
	typeStreamListpacks3 = 21
	// typeHashExpiring is a hash with an expiry of each field, of Valkey 9.
	typeHashExpiring = 22
	// typeHashMetadata and typeListpackExpiring are the same of Redis 7.4: large and small.
	typeHashMetadata     = 24
	typeListpackExpiring = 25

	lastCommon = typeStreamListpacks3
	maxTypes   = 32
)

// foreign is the version from which on a payload is Valkey's own. Redis counts on below.
const foreign = 80

const footerSize = 2 + 8

var (
	// ErrUnknown says that a payload is of a type that is not known here, or that nothing the other server reads can
	// stand for.
	ErrUnknown = errors.New("a form of value that the other server does not read, and that cannot be written in another")
	// ErrMalformed says that a payload does not have the form that its type byte says.
	ErrMalformed = errors.New("a payload that is not what its type says")
	// ErrTooLarge says that a payload would be larger than the limit if it were written anew.
	ErrTooLarge = errors.New("the value is too large in the form that the other server reads")
)

// seal appends version and checksum to a type byte and value.
func seal(p []byte, version uint16) []byte {
	p = binary.LittleEndian.AppendUint16(p, version)
	return binary.LittleEndian.AppendUint64(p, checksum(p))
}

// version of a payload; 0 if it is too short to have one.
func version(p []byte) uint16 {
	if len(p) <= footerSize {
		return 0
	}
	return binary.LittleEndian.Uint16(p[len(p)-footerSize:])
}

// restamp gives a payload another version, in place. The checksum is linear: what it changes by is the checksum of what
// the last two bytes change by, however long the payload is. So a payload that was damaged on its way stays one.
func restamp(p []byte, to uint16) {
	footer := p[len(p)-footerSize:]
	var change [2]byte
	binary.LittleEndian.PutUint16(change[:], binary.LittleEndian.Uint16(footer)^to)
	binary.LittleEndian.PutUint16(footer, to)
	binary.LittleEndian.PutUint64(footer[2:], binary.LittleEndian.Uint64(footer[2:])^checksum(change[:]))
}
