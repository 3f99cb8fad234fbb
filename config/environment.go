package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "TANDEM_"

// shortVariables are the names for the two settings that everybody has to make.
var shortVariables = map[string]string{
	"source.url": "TANDEM_SOURCE",
	"target.url": "TANDEM_TARGET",
}

// variables are the names of the environment variables that set s.
func (s setting) variables() []string {
	names := []string{envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))}
	if short := shortVariables[s.key]; short != "" {
		names = append([]string{short}, names...)
	}
	return names
}

// variablesSet are those of variables that are set. An empty variable counts as not set: that is what a
// shell script or a container file makes of one that has no value.
func (s setting) variablesSet() []string {
	var set []string
	for _, name := range s.variables() {
		if os.Getenv(name) != "" {
			set = append(set, name)
		}
	}
	return set
}

// readEnvironment finds variables that nothing will read, and settings that are made twice.
func (l *loader) readEnvironment() {
	l.problems = append(l.problems, CheckEnvironment()...)
	for _, s := range l.settings {
		if set := s.variablesSet(); len(set) > 1 {
			l.problems = append(l.problems, Problem{
				Key: s.key, Origin: "environment " + strings.Join(set, " and "),
				Wrong: "is set twice", Do: "unset one of the variables",
			})
		}
	}
}

// CheckEnvironment returns a problem for each TANDEM_... variable that is not a setting. Their values are
// not shown: one of them may be a misspelt URL with a password.
func CheckEnvironment() []Problem {
	var known []string
	for _, s := range settings(new(Config)) {
		known = append(known, s.variables()...)
	}
	var problems []Problem
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || isServiceLink(name, value) {
			continue
		}
		problems = append(problems, Problem{
			Key: name, Origin: "environment", Wrong: "is not a setting",
			Do: remedy(nearest(name, known), "unset it; `tandem config defaults` lists the settings"),
		})
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return problems
}

// remedy points to the name that was probably meant.
func remedy(meant, otherwise string) string {
	if meant != "" {
		return "did you mean " + meant + "?"
	}
	return otherwise
}

// Kubernetes gives every container of a namespace that has a service named tandem (or tandem-...) these
// variables, unasked: TANDEM_SERVICE_HOST, TANDEM_SERVICE_PORT_<NAME>, TANDEM_PORT (a URL),
// TANDEM_PORT_6380_TCP_ADDR and so on.
var (
	serviceLink  = regexp.MustCompile(`^TANDEM_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort  = regexp.MustCompile(`^TANDEM_([A-Z0-9_]+_)?PORT$`)
	serviceValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// isServiceLink tells a variable that Kubernetes has set from one that a user has.
func isServiceLink(name, value string) bool {
	return os.Getenv("KUBERNETES_SERVICE_HOST") != "" &&
		(serviceLink.MatchString(name) || servicePort.MatchString(name) && serviceValue.MatchString(value))
}
