package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"tandem/internal/demo/text"
	"tandem/internal/status"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"moment":         moment,
	"optionalMoment": optionalMoment,
	"lasting":        lasting,
	"times":          times,
	"count":          text.Count[int64],
	"bytes":          text.Bytes,
	"perSecond":      perSecond,
	"pause":          func(o status.Optional[float64]) string { return dash(o, pause) },
	"known":          func(o status.Optional[int64]) string { return dash(o, text.Count[int64]) },
	"took":           func(o status.Optional[int64]) string { return dash(o, lasting) },
}).Parse(pageText))

// dash writes a number, or nothing much.
func dash[T int64 | float64](o status.Optional[T], write func(T) string) string {
	if v, known := o.Get(); known {
		return write(v)
	}
	return "–"
}

// WriteHTML writes a report as one page that needs nothing else: it can be kept, sent and printed.
func (r Report) WriteHTML(w io.Writer) error {
	err := pageTemplate.Execute(w, struct {
		Report
		Headline, Downtime, Survived, Repaired, Decided string
	}{r, r.headline(), r.downtime(), r.survived(), r.repaired(), r.decided()})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
