package trace

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields of opentelemetry/proto/{trace,common,resource}/v1 and collector/trace/v1, which are the same in
// all versions since 1.0. A message is written innermost first, for its length stands before it.
const (
	requestResourceSpans = 1

	resourceSpansResource = 1
	resourceSpansScope    = 2
	resourceAttributes    = 1

	scopeSpansScope = 1
	scopeSpansSpans = 2
	scopeName       = 1
	scopeVersion    = 2

	spanTraceID    = 1
	spanID         = 2
	spanParent     = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanStatus     = 15

	statusCode  = 3
	statusError = 2

	kindInternal = 1
	kindServer   = 2
	kindClient   = 3

	attributeKey   = 1
	attributeValue = 2
	valueString    = 1
	valueInt       = 3
	valueArray     = 5
	arrayValues    = 1

	responsePartial = 1
	partialRejected = 1
	partialMessage  = 2
)

// Resource is who sends the spans.
type Resource struct {
	// Service is service.name, Version the program's; Instance tells processes of one service apart.
	Service, Version, Instance string
}

// message encodes commands as one ExportTraceServiceRequest; it returns how many spans that are.
func message(r Resource, commands []*Command) (encoded []byte, spans int) {
	var resource []byte
	for _, a := range [][2]string{{"service.name", r.Service}, {"service.version", r.Version}, {"service.instance.id", r.Instance}} {
		resource = appendMessage(resource, resourceAttributes, text(a[0], a[1]))
	}
	scope := appendText(appendText(nil, scopeName, "tandem"), scopeVersion, r.Version)
	list := appendMessage(nil, scopeSpansScope, scope)
	for _, c := range commands {
		for _, span := range c.spans() {
			list = appendMessage(list, scopeSpansSpans, span)
			spans++
		}
	}
	all := appendMessage(appendMessage(nil, resourceSpansResource, resource), resourceSpansScope, list)
	return appendMessage(nil, requestResourceSpans, all), spans
}

// span is one before it is encoded.
type span struct {
	name       string
	kind       uint64
	start, end int64
	failed     string
	attributes [][]byte
}

// spans are those of one command: itself, and as its children how long it waited to be sent, the primary, and the effect.
func (c *Command) spans() (encoded [][]byte) {
	var trace [16]byte
	binary.NativeEndian.PutUint64(trace[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(trace[8:], rand.Uint64()|1) // all zeros is no identifier
	root := newSpanID()
	self := span{name: c.Name, kind: kindServer, start: c.Arrived, end: c.end(), failed: c.Failed, attributes: [][]byte{
		text("db.system.name", "redis"), text("db.operation.name", c.Name), text("db.namespace", strconv.Itoa(c.DB)),
		text("tandem.class", c.Class), text("tandem.phase", c.Phase), number("tandem.session", c.Session),
	}}
	if c.Effect != "" {
		self.attributes = append(self.attributes, text("tandem.effect", c.Effect))
	}
	if len(c.Keys) > 0 {
		self.attributes = append(self.attributes, texts("tandem.keys", c.Keys))
	}
	encoded = append(encoded, self.encode(trace, root, nil))
	child := func(s span) { encoded = append(encoded, s.encode(trace, newSpanID(), root)) }
	if waited := c.Sent; c.Failed == Unsent || waited > c.Arrived {
		if c.Failed == Unsent {
			waited = c.Answered
		}
		child(span{name: "wait", kind: kindInternal, start: c.Arrived, end: waited})
	}
	if c.Failed != Unsent {
		child(span{name: "primary", kind: kindClient, start: c.Sent, end: c.Answered, failed: c.Failed, attributes: [][]byte{text("tandem.instance", c.Primary)}})
	}
	if c.Handed > 0 {
		s := span{name: "effect", kind: kindClient, start: c.Handed, end: c.Acked,
			attributes: [][]byte{text("tandem.instance", c.Secondary), text("tandem.effect", c.Effect)}}
		if c.Effect != Acknowledged && c.Effect != AtExpiry {
			s.failed = c.Effect
		}
		child(s)
	}
	return encoded
}

func newSpanID() []byte { return binary.NativeEndian.AppendUint64(nil, rand.Uint64()|1) }

func (s *span) encode(trace [16]byte, id, parent []byte) []byte {
	b := appendBytes(make([]byte, 0, 512), spanTraceID, trace[:])
	b = appendBytes(b, spanID, id)
	if parent != nil {
		b = appendBytes(b, spanParent, parent)
	}
	b = appendText(b, spanName, s.name)
	b = protowire.AppendVarint(protowire.AppendTag(b, spanKind, protowire.VarintType), s.kind)
	b = protowire.AppendFixed64(protowire.AppendTag(b, spanStart, protowire.Fixed64Type), uint64(s.start))
	b = protowire.AppendFixed64(protowire.AppendTag(b, spanEnd, protowire.Fixed64Type), uint64(max(s.start, s.end)))
	if s.failed != "" {
		s.attributes = append(s.attributes, text("error.type", s.failed))
	}
	for _, a := range s.attributes {
		b = appendMessage(b, spanAttributes, a)
	}
	if s.failed != "" {
		b = appendMessage(b, spanStatus, protowire.AppendVarint(protowire.AppendTag(nil, statusCode, protowire.VarintType), statusError))
	}
	return b
}

// text, number and texts are attributes.
func text(key, value string) []byte { return attribute(key, appendText(nil, valueString, value)) }

func number(key string, value int64) []byte {
	return attribute(key, protowire.AppendVarint(protowire.AppendTag(nil, valueInt, protowire.VarintType), uint64(value)))
}

func texts(key string, values []string) []byte {
	var list []byte
	for _, v := range values {
		list = appendMessage(list, arrayValues, appendText(nil, valueString, v))
	}
	return attribute(key, appendMessage(nil, valueArray, list))
}

func attribute(key string, value []byte) []byte {
	return appendMessage(appendText(nil, attributeKey, key), attributeValue, value)
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendMessage is appendBytes of a message within a message.
func appendMessage(b []byte, field protowire.Number, m []byte) []byte {
	return appendBytes(b, field, m)
}

// rejected reads an ExportTraceServiceResponse: how many spans the collector has not taken, and why. What cannot be read
// says nothing.
func rejected(response []byte) (spans int64, why string) {
	partial := fieldOf(response, responsePartial)
	for b := partial; len(b) > 0; {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return spans, why
		}
		b = b[n:]
		switch {
		case field == partialRejected && kind == protowire.VarintType:
			if v, m := protowire.ConsumeVarint(b); m > 0 {
				spans = int64(v)
			}
		case field == partialMessage && kind == protowire.BytesType:
			if v, m := protowire.ConsumeString(b); m > 0 {
				why = v
			}
		}
		m := protowire.ConsumeFieldValue(field, kind, b)
		if m < 0 {
			return spans, why
		}
		b = b[m:]
	}
	return spans, why
}

// fieldOf is the last value of a field that is a message, nil if it is not there.
func fieldOf(b []byte, wanted protowire.Number) (value []byte) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return value
		}
		m := protowire.ConsumeFieldValue(field, kind, b[n:])
		if m < 0 {
			return value
		}
		if field == wanted && kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b[n:])
		}
		b = b[n+m:]
	}
	return value
}
