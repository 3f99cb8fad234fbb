package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"tandem/internal/tlsconn/tlstest"
)

func TestEachMistakeNamesItsKeyAndItsRemedy(t *testing.T) {
	ca := tlstest.NewCA(t, "test")
	pair, another := ca.Issue(t, tlstest.Leaf{}), ca.Issue(t, tlstest.Leaf{})
	listener := map[string]string{"TANDEM_TLS_CERT_FILE": pair.Cert, "TANDEM_TLS_KEY_FILE": pair.Key}
	for name, c := range map[string]struct {
		env  map[string]string
		yaml string
		want []string // parts of the one problem
	}{
		"unknown key":                      {yaml: "lissten: 1.2.3.4:5", want: []string{"lissten (file", "is not a setting: did you mean listen?"}},
		"unknown key of a group":           {yaml: "clients: {maximum: 3}", want: []string{"clients.maximum (file", "is not a setting: did you mean clients.max?"}},
		"key without its group":            {yaml: "max_pause: 3s", want: []string{"max_pause (file", "did you mean cutover.max_pause?"}},
		"key in upper case":                {yaml: "Listen: 1.2.3.4:5", want: []string{"Listen (file", "did you mean listen?"}},
		"key with a dot":                   {yaml: "primary.wait: 3s", want: []string{"primary.wait (file", "is written with a dot"}},
		"group with a value":               {yaml: "primary: 3s", want: []string{"primary (file", "is a group of settings", "primary.wait"}},
		"key as a group":                   {yaml: "listen: {port: 3}", want: []string{`listen "map[port:3]" (file`, "is not one value: write one value"}},
		"list":                             {yaml: "listen: [a, b]", want: []string{"listen \"[a b]\" (file", "is not one value: write one value"}},
		"unknown variable":                 {env: map[string]string{"TANDEM_SORUCE": "x"}, want: []string{"TANDEM_SORUCE (environment) is not a setting: did you mean TANDEM_SOURCE?"}},
		"variable like nothing":            {env: map[string]string{"TANDEM_BLUE": "x"}, want: []string{"TANDEM_BLUE (environment) is not a setting: unset it"}},
		"set twice":                        {env: map[string]string{"TANDEM_SOURCE_URL": "redis://x"}, want: []string{"source.url (environment TANDEM_SOURCE and TANDEM_SOURCE_URL) is set twice: unset one"}},
		"not a number":                     {env: map[string]string{"TANDEM_LANES": "two"}, want: []string{`lanes "two" (environment TANDEM_LANES) is not a whole number: write a whole number`}},
		"number beyond any":                {env: map[string]string{"TANDEM_LANES": "99999999999999999999"}, want: []string{`lanes "99999999999999999999"`, "too large"}},
		"too small":                        {yaml: "lanes: 0", want: []string{`lanes "0" (file`, "is too small: set at least 1"}},
		"too large":                        {yaml: "lanes: 65", want: []string{`lanes "65" (file`, "is too large: set at most 64"}},
		"duration without unit":            {yaml: "ack_timeout: 10", want: []string{`ack_timeout "10" (file`, "is not a duration: write a number with a unit"}},
		"negative duration":                {yaml: "primary: {wait: -1s}", want: []string{`primary.wait "-1s"`, "is too small"}},
		"size":                             {yaml: "max_lag_bytes: 64 parsecs", want: []string{`max_lag_bytes "64 parsecs"`, "is not a size: write a number of bytes"}},
		"size beyond any":                  {yaml: "max_lag_bytes: 9999999999GiB", want: []string{`max_lag_bytes`, "is too large"}},
		"negative size":                    {yaml: "memory_limit_bytes: -1", want: []string{`memory_limit_bytes "-1"`, "is too small"}},
		"truth value":                      {yaml: "takeover: maybe", want: []string{`takeover "maybe"`, "is neither true nor false: write true or false"}},
		"none of the values":               {yaml: "start: maybe", want: []string{`start "maybe"`, "is not one of its values: write auto or manual"}},
		"later value":                      {yaml: "duplicates: newest", want: []string{`duplicates "newest"`, "is not available in this version: write error"}},
		"later tracking":                   {yaml: "tracking: on", want: []string{`tracking "on"`, "is not available in this version: write auto or off"}},
		"number as a text":                 {yaml: "listen: 6380", want: []string{`listen "6380"`, "is a number or a truth value where a text is needed: write it in quotes"}},
		"not an address":                   {yaml: `listen: "6380"`, want: []string{`listen "6380"`, "is not an address: write host:port, such as 127.0.0.1:6380"}},
		"port beyond any":                  {yaml: `listen: "127.0.0.1:66000"`, want: []string{`is not an address`}},
		"same port twice":                  {yaml: `listen: "127.0.0.1:6390"`, want: []string{"admin.listen", "is the address of listen too"}},
		"second listener":                  {yaml: `listen_target: "127.0.0.1:6390"`, want: []string{"listen_target", "is not available in this version: leave it empty"}},
		"open admin":                       {yaml: `admin: {listen: "0.0.0.0:6390"}`, want: []string{"admin.listen", "is open to other machines while admin.token is empty"}},
		"open admin, any host":             {yaml: `admin: {listen: ":6390"}`, want: []string{"admin.listen", "is open to other machines"}},
		"no state directory":               {yaml: `state_dir: ""`, want: []string{"state_dir", "is empty"}},
		"no source":                        {env: map[string]string{"TANDEM_SOURCE": ""}, want: []string{"source.url is not set: give --source, TANDEM_SOURCE or source.url in the file"}},
		"user without a name":              {yaml: "auth: {mode: users, users: [{password: abc}]}", want: []string{"auth.users (file", "element 1 without a name"}},
		"user without a password":          {yaml: "auth: {mode: users, users: [{name: a}]}", want: []string{"element 1 without a password"}},
		"user with two passwords":          {yaml: "auth: {mode: users, users: [{name: a, password: b, password_file: testdata/password}]}", want: []string{"element 1 with more than one password"}},
		"less memory than one argument":    {yaml: "clients: {memory_bytes: 100MiB}", want: []string{"clients.memory_bytes", "is less than clients.max_bulk_bytes, 512MiB"}},
		"user twice":                       {yaml: "auth: {mode: users, users: [{name: a, password: b}, {name: a, password: c}]}", want: []string{"has the name of element 2 twice"}},
		"user with an unknown key":         {yaml: "auth: {mode: users, users: [{name: a, pasword: b}]}", want: []string{"auth.users (file", "has an element 1 that has the unknown key pasword: it has name, password"}},
		"user as a text":                   {yaml: "auth: {mode: users, users: [a]}", want: []string{"has an element 1 that is not an object"}},
		"user's password is a number":      {yaml: "auth: {mode: users, users: [{name: a, password: 0123}]}", want: []string{"has a password that is a number or a truth value"}},
		"user's digest":                    {yaml: "auth: {mode: users, users: [{name: a, password_sha256: abcd}]}", want: []string{"element 1 whose password cannot be used: password_sha256 is not a SHA-256 in hex"}},
		"user's password file":             {yaml: "auth: {mode: users, users: [{name: a, password_file: testdata/none}]}", want: []string{"element 1 whose password cannot be used: read the password"}},
		"printed password of a user":       {yaml: "auth: {mode: users, users: [{name: a, password: '***'}]}", want: []string{"which stands for one that is not shown"}},
		"no users":                         {yaml: "auth: {mode: users}", want: []string{`auth.mode "users" (file`, "is set while auth.users is empty"}},
		"users without use":                {yaml: "auth: {users: [{name: a, password: b}]}", want: []string{"auth.users", "is set while auth.mode is server"}},
		"key of a user in upper case":      {yaml: "auth: {mode: users, users: [{Name: a, password: b}]}", want: []string{"has the unknown key Name"}},
		"users as an object":               {yaml: "auth: {mode: users, users: {a: b}}", want: []string{"auth.users", "is not a list: write a list of objects {name, password, password_file, password_sha256}"}},
		"denied what is no command":        {yaml: `commands: {deny: ["CONFIG SET maxmemory"]}`, want: []string{"commands.deny", "has an element 1 that is not the name of a command"}},
		"denied number":                    {yaml: `commands: {deny: [3]}`, want: []string{"commands.deny", "has an element 1 that is not a text"}},
		"write without a name":             {yaml: `commands: {writes: [{first_key: 1}]}`, want: []string{"commands.writes", "element 1 without a name"}},
		"write twice":                      {yaml: `commands: {writes: [{name: x}, {name: X}]}`, want: []string{"commands.writes", "element 2 that names X again"}},
		"write's keys":                     {yaml: `commands: {writes: [{name: x, first_key: 2, last_key: 1}]}`, want: []string{"whose last_key is before its first_key"}},
		"write's last key alone":           {yaml: `commands: {writes: [{name: x, last_key: 1}]}`, want: []string{"with a last_key and no first_key"}},
		"write's step":                     {yaml: `commands: {writes: [{name: x, first_key: 1, step: 0}]}`, want: []string{`commands.writes[1].step "0"`, "is too small: set at least 1"}},
		"scripts":                          {yaml: `scripts: never`, want: []string{`scripts "never" (file`, "write auto or replay or copy"}},
		"key with two dots":                {yaml: "source: {tls.ca_file: x}", want: []string{"source.tls.ca_file (file", "is written with a dot"}},
		"group with a dot":                 {yaml: "source.tls: {ca_file: x}", want: []string{"source.tls (file", "is written with a dot"}},
		"inner group with a value":         {yaml: "source: {tls: true}", want: []string{"source.tls (file", "is a group of settings, not one", "source.tls.ca_file"}},
		"unknown key of an inner group":    {yaml: "source: {tls: {cafile: x}}", want: []string{"source.tls.cafile (file", "did you mean source.tls.ca_file?"}},
		"authority without TLS":            {yaml: "source: {tls: {ca_file: x}}", want: []string{`source.tls.ca_file "x" (file`, "is set while source.url does not begin with rediss://"}},
		"unverified without TLS":           {yaml: "target: {tls: {insecure_skip_verify: true}}", want: []string{`target.tls.insecure_skip_verify "true" (file`, "does not begin with rediss://"}},
		"certificate without a key":        {env: map[string]string{"TANDEM_SOURCE": "rediss://a"}, yaml: "source: {tls: {cert_file: x}}", want: []string{"source.tls.cert_file", "is set without source.tls.key_file"}},
		"key without a certificate":        {env: map[string]string{"TANDEM_SOURCE": "rediss://a"}, yaml: "source: {tls: {key_file: x}}", want: []string{"source.tls.key_file", "is set without source.tls.cert_file"}},
		"no authority file":                {env: map[string]string{"TANDEM_SOURCE": "rediss://a"}, yaml: "source: {tls: {ca_file: testdata/none}}", want: []string{`source.tls.ca_file "testdata/none" (file`, "cannot be used: cannot be read: no such file"}},
		"authority file of something else": {env: map[string]string{"TANDEM_SOURCE": "rediss://a"}, yaml: "source: {tls: {ca_file: testdata/password}}", want: []string{"source.tls.ca_file", "has no certificate in PEM"}},
		"authority and no verification":    {env: map[string]string{"TANDEM_SOURCE": "rediss://a", "TANDEM_SOURCE_TLS_CA_FILE": ca.File}, yaml: "source: {tls: {insecure_skip_verify: true}}", want: []string{"source.tls.ca_file", "any certificate would be taken"}},
		"listener's key missing":           {yaml: "tls: {cert_file: x}", want: []string{"tls.cert_file", "is set without tls.key_file"}},
		"listener's certificate missing":   {yaml: "tls: {key_file: x}", want: []string{"tls.key_file", "is set without tls.cert_file, so clients would not speak TLS"}},
		"clients' authority missing":       {env: listener, yaml: "tls: {client_auth: required}", want: []string{"tls.client_auth", "is set without tls.client_ca_file"}},
		"clients not asked":                {env: listener, yaml: "tls: {client_ca_file: " + ca.File + "}", want: []string{"tls.client_ca_file", "is set while tls.client_auth is off"}},
		"key of another certificate":       {env: map[string]string{"TANDEM_TLS_CERT_FILE": pair.Cert}, yaml: "tls: {key_file: " + another.Key + "}", want: []string{"tls.key_file", "cannot be used with the certificate of"}},
		"another scheme":                   {env: map[string]string{"TANDEM_SOURCE": "http://a"}, want: []string{"has an unknown scheme: write redis://"}},
		"no host":                          {env: map[string]string{"TANDEM_SOURCE": "redis://:6379"}, want: []string{"has no host"}},
		"no port":                          {env: map[string]string{"TANDEM_SOURCE": "redis://a:0"}, want: []string{"has a port that is not a number from 1 to 65535"}},
		"no database":                      {env: map[string]string{"TANDEM_SOURCE": "redis://a/b"}, want: []string{"has a path that is not a database number"}},
		"query":                            {env: map[string]string{"TANDEM_SOURCE": "redis://a/?db=3"}, want: []string{"source.url \"***\"", "has options after '?' or '#'"}},
		"pair of one":                      {env: map[string]string{"TANDEM_TARGET": "redis://10.0.0.1"}, want: []string{"target.url", "is the server of source.url too"}},
		"listening on a server":            {yaml: `listen: "10.0.0.1:6379"`, want: []string{"listen", "is the server of source.url"}},
		"user alone": {env: map[string]string{"TANDEM_SOURCE": "redis://me@a"},
			want: []string{`source.url "redis://:***@a"`, "names a user and no password: write redis://user:password@host:port"}},
		"password twice": {env: map[string]string{"TANDEM_SOURCE": "redis://:abc@a", "TANDEM_SOURCE_PASSWORD_FILE": "testdata/password"},
			want: []string{"source.password_file", "is set while source.url holds a password too"}},
		"no password file": {env: map[string]string{"TANDEM_SOURCE_PASSWORD_FILE": "testdata/none"},
			want: []string{`source.password_file "testdata/none"`, "cannot be used: read the password: open testdata/none: no such file"}},
		"printed password": {env: map[string]string{"TANDEM_SOURCE": "redis://u:***@a"}, want: []string{"which stands for one that is not shown"}},
	} {
		t.Run(name, func(t *testing.T) {
			withURLs(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var in Input
			if c.yaml != "" {
				in.File = writeFile(t, "c.yaml", c.yaml)
			}
			_, err := Load(in)
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) != 1 {
				t.Fatalf("want one problem, got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Setenv("TANDEM_LANES", "two")
	t.Setenv("TANDEM_NONSENSE", "x")
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.String("listen", "", "")
	if err := fs.Parse([]string{"--listen=nowhere"}); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Input{
		File:  writeFile(t, "c.yaml", "stat: manual\nclients: {max: 0, nothing: 1}\n"),
		Flags: map[string]*pflag.Flag{"listen": fs.Lookup("listen")},
	})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"configuration: 8 errors", "\n  stat (file", "\n  clients.nothing (file", "\n  clients.max \"0\" (file",
		"\n  TANDEM_NONSENSE", "\n  lanes \"two\"", "\n  listen \"nowhere\" (flag --listen)",
		"\n  source.url is not set", "\n  target.url is not set",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"name":           {"c.conf", "", "name it .yaml, .yml or .toml"},
		"missing":        {"", "", "cannot be opened: no such file or directory"},
		"yaml":           {"c.yaml", "a:\n b\n  : c", "is not YAML"},
		"yaml key twice": {"c.yaml", "listen: a\nlisten: b", "is not YAML"},
		"two documents":  {"c.yaml", "listen: \"1.2.3.4:5\"\n---\nlisten: x", "holds more than one document"},
		"no mapping":     {"c.yaml", "- listen", "is not a list of settings"},
		"toml":           {"c.toml", "listen = \"1.2.3.4:5\"\nx", "is not TOML in line 2"},
		"large":          {"c.yaml", strings.Repeat("#", maxFileBytes+1), "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			withURLs(t)
			file := "none.yaml"
			if c.file != "" {
				file = writeFile(t, c.file, c.content)
			}
			_, err := Load(Input{File: file})
			if err == nil || !strings.Contains(err.Error(), "file "+file) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q of %s, got: %v", c.want, file, err)
			}
		})
	}
}

func TestEmptyFileIsTheDefaults(t *testing.T) {
	withURLs(t)
	for _, content := range []string{"", "# nothing\n", "clients:\n  # max: 3\n", "listen:\n"} {
		c, err := Load(Input{File: writeFile(t, "c.yaml", content)})
		if err != nil {
			t.Errorf("%q: %v", content, err)
		} else if c.Listen != Default().Listen {
			t.Errorf("%q: listen is %q", content, c.Listen)
		}
	}
}

// TestNothingShowsAPassword puts a password wherever one may end up, rightly or by mistake, and looks for
// it in all that comes out.
func TestNothingShowsAPassword(t *testing.T) {
	const password = "hunter2hunter2hunter2"
	check := func(t *testing.T, in Input) {
		t.Helper()
		c, err := Load(in)
		var out bytes.Buffer
		if werr := c.WriteYAML(&out); werr != nil {
			t.Fatal(werr)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "url", c.Source.URL, "token", c.Admin.Token)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "url", c.Source.URL, "token", c.Admin.Token)
		fmt.Fprintf(&out, "%v %+v %#v %s %v %v", c, c, *c, c.Source.URL, c.Admin, err)
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("shown in:\n%s", out.String())
		}
	}
	for i, url := range []string{
		"redis://:" + password + "@a", "redis://user:" + password + "@a:1/2", "rediss://user:" + password + "@a",
		"user:" + password + "@a", password, "redis:" + password, "redis://a/?password=" + password,
		"redis://u:" + password + "/@x@a", "redis://u:%zz" + password + "@a", "redis://u:" + password + "#@a",
		"redis://u:" + password + "@a:port", "redis://u:" + password + "@a/x", "redis://u:" + password + "@",
		"redis://" + password + "@a", "redis://u:" + password, "redis://a:" + password + "/0", "redis://[" + password,
	} {
		t.Run(fmt.Sprint("url ", i), func(t *testing.T) {
			withURLs(t)
			t.Setenv("TANDEM_SOURCE", url)
			check(t, Input{})
		})
	}
	for i, yaml := range []string{
		"source: {pasword: " + password + "}", "source: redis://:" + password + "@a", "admin: {token: " + password + "}",
		"admin: {token: [" + password + "]}", "admin: {token: *" + password + "}", "redis://:" + password + "@a",
		"admin: {token: \"" + password + "}",
		"auth: {mode: users, users: [{name: a, password: " + password + "}]}", "auth: {users: [{name: a, password: " + password + "}]}",
		"auth: {mode: users, users: [{name: a, password: [" + password + "]}]}", "auth: {users: " + password + "}",
		"auth: {mode: users, users: [{name: a, password_sha256: " + password + "}]}", "auth: {users: '[{name: a, password: \"" + password + "}]'}", "admin: {token: '" + password + " ä'}",
		"- " + password, "token: {" + password, "admin:\n  token: @" + password, "admin:\n  token: %" + password,
		"admin:\n  token: !" + password + " x",
	} {
		t.Run(fmt.Sprint("yaml ", i), func(t *testing.T) {
			withURLs(t)
			check(t, Input{File: writeFile(t, "c.yaml", yaml)})
		})
	}
	for i, toml := range []string{"[admin]\ntoken = " + password, "[admin]\ntoken = \"" + password, "[source]\nurl = '" + password} {
		t.Run(fmt.Sprint("toml ", i), func(t *testing.T) {
			withURLs(t)
			check(t, Input{File: writeFile(t, "c.toml", toml)})
		})
	}
	t.Run("variable", func(t *testing.T) {
		withURLs(t)
		t.Setenv("TANDEM_SORUCE", "redis://:"+password+"@a")
		t.Setenv("TANDEM_ADMIN_TOKEN", "hunter2")
		check(t, Input{})
	})
}

func TestServiceLinksOfKubernetesAreNoMistakes(t *testing.T) {
	withURLs(t)
	links := map[string]string{
		"TANDEM_SERVICE_HOST": "10.0.0.9", "TANDEM_SERVICE_PORT": "6380", "TANDEM_SERVICE_PORT_REDIS": "6380",
		"TANDEM_PORT": "tcp://10.0.0.9:6380", "TANDEM_PORT_6380_TCP": "tcp://10.0.0.9:6380",
		"TANDEM_PORT_6380_TCP_PROTO": "tcp", "TANDEM_PORT_6380_TCP_PORT": "6380", "TANDEM_PORT_6380_TCP_ADDR": "10.0.0.9",
		"TANDEM_ADMIN_SERVICE_HOST": "10.0.0.9", "TANDEM_ADMIN_PORT": "tcp://10.0.0.9:6390",
	}
	for k, v := range links {
		t.Setenv(k, v)
	}
	if n := len(CheckEnvironment()); n != len(links) {
		t.Errorf("%d problems outside of Kubernetes, want %d", n, len(links))
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	if _, err := Load(Input{}); err != nil {
		t.Error(err)
	}
	t.Setenv("TANDEM_ADMIN_PORT", "6390")
	if problems := CheckEnvironment(); len(problems) != 1 || problems[0].Key != "TANDEM_ADMIN_PORT" {
		t.Errorf("a variable that a user has set: %v", problems)
	}
}
