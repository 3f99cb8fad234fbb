package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
		"unknown key":                       {yaml: "lissten: 1.2.3.4:5", want: []string{"lissten (file", "is not a setting: did you mean listen?"}},
		"unknown key of a group":            {yaml: "clients: {maximum: 3}", want: []string{"clients.maximum (file", "is not a setting: did you mean clients.max?"}},
		"key without its group":             {yaml: "max_pause: 3s", want: []string{"max_pause (file", "did you mean cutover.max_pause?"}},
		"key in upper case":                 {yaml: "Listen: 1.2.3.4:5", want: []string{"Listen (file", "did you mean listen?"}},
		"key with a dot":                    {yaml: "primary.wait: 3s", want: []string{"primary.wait (file", "is written with a dot"}},
		"group with a value":                {yaml: "primary: 3s", want: []string{"primary (file", "is a group of settings", "primary.wait"}},
		"key as a group":                    {yaml: "listen: {port: 3}", want: []string{`listen "map[port:3]" (file`, "is not one value: write one value"}},
		"list":                              {yaml: "listen: [a, b]", want: []string{"listen \"[a b]\" (file", "is not one value: write one value"}},
		"unknown variable":                  {env: map[string]string{"TANDEM_SORUCE": "x"}, want: []string{"TANDEM_SORUCE (environment) is not a setting: did you mean TANDEM_SOURCE?"}},
		"variable like nothing":             {env: map[string]string{"TANDEM_BLUE": "x"}, want: []string{"TANDEM_BLUE (environment) is not a setting: unset it"}},
		"set twice":                         {env: map[string]string{"TANDEM_SOURCE_URL": "redis://x"}, want: []string{"source.url (environment TANDEM_SOURCE and TANDEM_SOURCE_URL) is set twice: unset one"}},
		"not a number":                      {env: map[string]string{"TANDEM_LANES": "two"}, want: []string{`lanes "two" (environment TANDEM_LANES) is not a whole number: write a whole number`}},
		"number beyond any":                 {env: map[string]string{"TANDEM_LANES": "99999999999999999999"}, want: []string{`lanes "99999999999999999999"`, "too large"}},
		"too small":                         {yaml: "lanes: 0", want: []string{`lanes "0" (file`, "is too small: set at least 1"}},
		"too large":                         {yaml: "lanes: 65", want: []string{`lanes "65" (file`, "is too large: set at most 64"}},
		"duration without unit":             {yaml: "ack_timeout: 10", want: []string{`ack_timeout "10" (file`, "is not a duration: write a number with a unit"}},
		"negative duration":                 {yaml: "primary: {wait: -1s}", want: []string{`primary.wait "-1s"`, "is too small"}},
		"size":                              {yaml: "max_lag_bytes: 64 parsecs", want: []string{`max_lag_bytes "64 parsecs"`, "is not a size: write a number of bytes"}},
		"size beyond any":                   {yaml: "max_lag_bytes: 9999999999GiB", want: []string{`max_lag_bytes`, "is too large"}},
		"negative size":                     {yaml: "memory_limit_bytes: -1", want: []string{`memory_limit_bytes "-1"`, "is too small"}},
		"truth value":                       {yaml: "takeover: maybe", want: []string{`takeover "maybe"`, "is neither true nor false: write true or false"}},
		"none of the values":                {yaml: "start: maybe", want: []string{`start "maybe"`, "is not one of its values: write auto or manual"}},
		"pattern without a policy":          {yaml: `duplicates_by_pattern: [{pattern: "a*"}]`, want: []string{"duplicates_by_pattern", "element 1 without a policy"}},
		"policy without a pattern":          {yaml: `duplicates_by_pattern: [{policy: skip}]`, want: []string{"duplicates_by_pattern", "element 1 without a pattern"}},
		"window without such a day":         {yaml: `backfill: {windows: [{days: [mon, day]}]}`, want: []string{"backfill.windows", "element 1", `"day"`, "no day of the week"}},
		"window that begins at no time":     {yaml: `backfill: {windows: [{from: "6 pm"}]}`, want: []string{"backfill.windows", "element 1", `from "6 pm"`}},
		"window that ends at no time":       {yaml: `backfill: {windows: [{to: "25:00"}]}`, want: []string{"backfill.windows", "element 1", `to "25:00"`}},
		"window that is too slow":           {yaml: `backfill: {windows: [{max_bytes_per_s: 1KiB}]}`, want: []string{"backfill.windows[1].max_bytes_per_s", "too small"}},
		"bytes per second that are too few": {yaml: `backfill: {max_bytes_per_s: 100}`, want: []string{"backfill.max_bytes_per_s", "too small", "0 for no limit"}},
		"clock of no place":                 {yaml: `backfill: {time_zone: Atlantis}`, want: []string{"backfill.time_zone", "Atlantis", "not the name of a place"}},
		"database that there is not":        {yaml: `databases: [0, -1]`, want: []string{`databases "-1"`, "is no number of a database"}},
		"database twice":                    {yaml: `databases: [3, 3]`, want: []string{`databases "3"`, "is there twice"}},
		"database that is no number":        {yaml: `databases: [a]`, want: []string{"databases", "element 1", "not a whole number"}},
		"map of a database that stays":      {yaml: "databases: [1]\ndatabase_map: [{from: 0, to: 3}]", want: []string{"database_map", "database 0, which does not move"}},
		"map to a database that is taken":   {yaml: `database_map: [{from: 0, to: 3}]`, want: []string{"database_map", "which is where database 3 moves to", "map database 3"}},
		"map of two databases to one":       {yaml: "databases: [0, 1]\ndatabase_map: [{from: 0, to: 3}, {from: 1, to: 3}]", want: []string{"database_map", "maps database 1 to 3, as database 0 is", "cannot become one"}},
		"map of one database to two":        {yaml: "databases: [0]\ndatabase_map: [{from: 0, to: 3}, {from: 0, to: 4}]", want: []string{"database_map", "maps database 0 again"}},
		"map without an end":                {yaml: `database_map: [{from: 0}]`, want: []string{"database_map", "lacks from or to"}},
		"pattern that is empty":             {yaml: `keys: {include: [""]}`, want: []string{"keys.include", "empty pattern"}},
		"pattern that leaves nothing":       {yaml: `keys: {exclude: ["*"]}`, want: []string{`keys.exclude "*"`, "leaves no key"}},
		"longer expiry with shadow reads":   {yaml: "expiry: {extend_by: 1h}\nverify: {shadow_reads: 0.1}", want: []string{`expiry.extend_by "1h0m0s"`, "verify.shadow_reads", "set one of them to 0"}},
		"part of a server, both ways":       {yaml: "listen_target: 127.0.0.1:6381\nkeys: {exclude: [\"a*\"]}", want: []string{`listen_target "127.0.0.1:6381"`, "cannot be combined with databases"}},
		"longer expiry, both ways":          {yaml: "listen_target: 127.0.0.1:6381\nexpiry: {extend_by: 1h}", want: []string{"listen_target", "expiry.extend_by"}},
		"pattern twice":                     {yaml: `duplicates_by_pattern: [{pattern: a, policy: skip}, {pattern: a, policy: error}]`, want: []string{"element 2 that has the pattern", "again"}},
		"policy that there is not":          {yaml: `duplicates_by_pattern: [{pattern: a, policy: keep}]`, want: []string{`duplicates_by_pattern[1].policy "keep"`, "is not one of its values"}},
		"number as a text":                  {yaml: "listen: 6380", want: []string{`listen "6380"`, "is a number or a truth value where a text is needed: write it in quotes"}},
		"not an address":                    {yaml: `listen: "6380"`, want: []string{`listen "6380"`, "is not an address: write host:port, such as 127.0.0.1:6380"}},
		"port beyond any":                   {yaml: `listen: "127.0.0.1:66000"`, want: []string{`is not an address`}},
		"same port twice":                   {yaml: `listen: "127.0.0.1:6390"`, want: []string{"admin.listen", "is the address of listen too"}},
		"second listener":                   {yaml: `listen_target: "127.0.0.1:6390"`, want: []string{"listen_target", "is the address of admin.listen too"}},
		"two-way, second address":           {yaml: `listen_target: "6381"`, want: []string{"listen_target", "is not an address"}},
		"two-way, tracking":                 {yaml: "{listen_target: '127.0.0.1:6381', tracking: on}", want: []string{"tracking", "cannot be had with listen_target"}},
		"two-way, ack":                      {yaml: "{listen_target: '127.0.0.1:6381', ack: both}", want: []string{"ack", "cannot be had with listen_target", "set ack: source"}},
		"two-way, shadow reads":             {yaml: "{listen_target: '127.0.0.1:6381', verify: {shadow_reads: 0.5}}", want: []string{"verify.shadow_reads", "cannot be had with listen_target"}},
		"two-way, kept keys":                {yaml: "{listen_target: '127.0.0.1:6381', duplicates: skip}", want: []string{"duplicates", "a key that is kept is another one on each instance"}},
		"two-way, kept keys by pattern":     {yaml: "{listen_target: '127.0.0.1:6381', duplicates_by_pattern: [{pattern: 'a*', policy: newest}]}", want: []string{"duplicates_by_pattern", "a key that is kept"}},
		"two-way, keys of the target":       {yaml: "{listen_target: '127.0.0.1:6381', duplicates: overwrite}", want: []string{"target_only", "set refuse or delete"}},
		"two-way on a server":               {yaml: "listen_target: '10.0.0.2:6379'", want: []string{"listen_target", "is the server of target.url"}},
		"open admin":                        {yaml: `admin: {listen: "0.0.0.0:6390"}`, want: []string{"admin.listen", "is open to other machines while admin.token is empty"}},
		"open admin, any host":              {yaml: `admin: {listen: ":6390"}`, want: []string{"admin.listen", "is open to other machines"}},
		"no state directory":                {yaml: `state_dir: ""`, want: []string{"state_dir", "is empty"}},
		"no source":                         {env: map[string]string{"TANDEM_SOURCE": ""}, want: []string{"source.url is not set: give --source, TANDEM_SOURCE or source.url in the file"}},
		"user without a name":               {yaml: "auth: {mode: users, users: [{password: abc}]}", want: []string{"auth.users (file", "element 1 without a name"}},
		"user without a password":           {yaml: "auth: {mode: users, users: [{name: a}]}", want: []string{"element 1 without a password"}},
		"user with two passwords":           {yaml: "auth: {mode: users, users: [{name: a, password: b, password_file: testdata/password}]}", want: []string{"element 1 with more than one password"}},
		"less memory than one argument":     {yaml: "clients: {memory_bytes: 100MiB}", want: []string{"clients.memory_bytes", "is less than clients.max_bulk_bytes, 512MiB"}},
		"user twice":                        {yaml: "auth: {mode: users, users: [{name: a, password: b}, {name: a, password: c}]}", want: []string{"has the name of element 2 twice"}},
		"user with an unknown key":          {yaml: "auth: {mode: users, users: [{name: a, pasword: b}]}", want: []string{"auth.users (file", "has an element 1 that has the unknown key pasword: it has name, password"}},
		"user as a text":                    {yaml: "auth: {mode: users, users: [a]}", want: []string{"has an element 1 that is not an object"}},
		"user's password is a number":       {yaml: "auth: {mode: users, users: [{name: a, password: 0123}]}", want: []string{"has a password that is a number or a truth value"}},
		"user's digest":                     {yaml: "auth: {mode: users, users: [{name: a, password_sha256: abcd}]}", want: []string{"element 1 whose password cannot be used: password_sha256 is not a SHA-256 in hex"}},
		"token twice":                       {yaml: "admin: {token: 0123456789abcdef, token_file: testdata/token}", want: []string{"admin.token_file", "is set while admin.token is set too"}},
		"token of nobody":                   {yaml: "admin: {tokens: [{file: testdata/token}]}", want: []string{"admin.tokens (file", "element 1 without a name"}},
		"token without a file":              {yaml: "admin: {tokens: [{name: a}]}", want: []string{"element 1 without a file"}},
		"token's file":                      {yaml: "admin: {tokens: [{name: a, file: testdata/none}]}", want: []string{"element 1 whose token cannot be used: read the token"}},
		"token of a few letters":            {yaml: "admin: {tokens: [{name: a, file: testdata/password}]}", want: []string{"element 1 whose token cannot be used", "shorter than 16"}},
		"token of two":                      {yaml: "admin: {tokens: [{name: a, file: testdata/token}, {name: b, file: testdata/token}]}", want: []string{"element 2 with the same token as a"}},
		"token of one without a name":       {yaml: "admin: {token_file: testdata/token, tokens: [{name: b, file: testdata/token}]}", want: []string{"element 1 with the same token as admin.token"}},
		"two tokens of one name":            {yaml: "admin: {tokens: [{name: a, file: testdata/token}, {name: a, file: testdata/token}]}", want: []string{"element 2 that has the name of another one"}},
		"token of a line": {yaml: `admin: {tokens: [{name: "a
b", file: testdata/token}]}`, want: []string{"element 1 whose name has characters"}},
		"token's role":                     {yaml: "admin: {tokens: [{name: a, file: testdata/token, role: root}]}", want: []string{`admin.tokens[1].role "root"`, "is not one of its values"}},
		"audit in no directory":            {yaml: "audit: {file: nowhere/audit.jsonl}", want: []string{`audit.file "nowhere/audit.jsonl"`, "in a directory that is not there"}},
		"audit in a directory":             {yaml: "audit: {file: testdata}", want: []string{`audit.file "testdata"`, "is a directory"}},
		"traces to no URL":                 {yaml: "tracing: {endpoint: 'collector:4318'}", want: []string{"tracing.endpoint (file", "is not a URL"}},
		"traces without a path":            {yaml: "tracing: {endpoint: 'http://collector:4318'}", want: []string{`tracing.endpoint "http://collector:4318"`, "has no path"}},
		"traces with a password":           {yaml: "tracing: {endpoint: 'http://a:b@collector:4318/v1/traces'}", want: []string{"tracing.endpoint (file", "has credentials or a query", "tracing.headers_file"}},
		"headers that are none":            {yaml: "tracing: {headers_file: testdata/password}", want: []string{"tracing.headers_file", "line 1 of testdata/password is not a header"}},
		"headers that are not there":       {yaml: "tracing: {headers_file: testdata/none}", want: []string{"tracing.headers_file", "read the headers"}},
		"authority of a collector":         {yaml: "tracing: {tls: {ca_file: x}}", want: []string{`tracing.tls.ca_file "x" (file`, "is set while tracing.endpoint does not begin with https://"}},
		"token file":                       {yaml: "admin: {token_file: testdata/none}", want: []string{"admin.token_file", "cannot be used: read the token: open testdata/none: no such file"}},
		"token file with a space":          {yaml: "admin: {token_file: testdata/password, listen: \"0.0.0.0:1\"}", want: []string{"admin.token_file", "is shorter than 16 characters"}},
		"user's password file":             {yaml: "auth: {mode: users, users: [{name: a, password_file: testdata/none}]}", want: []string{"element 1 whose password cannot be used: read the password"}},
		"printed password of a user":       {yaml: "auth: {mode: users, users: [{name: a, password: '***'}]}", want: []string{"which stands for one that is not shown"}},
		"no users":                         {yaml: "auth: {mode: users}", want: []string{`auth.mode "users" (file`, "is set while auth.users is empty"}},
		"users without use":                {yaml: "auth: {users: [{name: a, password: b}]}", want: []string{"auth.users", "is set while auth.mode is server"}},
		"key of a user in upper case":      {yaml: "auth: {mode: users, users: [{Name: a, password: b}]}", want: []string{"has the unknown key Name"}},
		"users as an object":               {yaml: "auth: {mode: users, users: {a: b}}", want: []string{"auth.users", "is not a list: write a list of objects {name, password, password_file, password_sha256}"}},
		"denied what is no command":        {yaml: `commands: {deny: ["CONFIG SET maxmemory"]}`, want: []string{"commands.deny", "has an element 1 that is not the name of a command"}},
		"accepted what is no item":         {yaml: `precheck: {accept: [clocks, eviction]}`, want: []string{"precheck.accept", "has an element 2 that is no item of the precheck", "[source_eviction, clocks]"}},
		"denied number":                    {yaml: `commands: {deny: [3]}`, want: []string{"commands.deny", "has an element 1 that is not a text"}},
		"write without a name":             {yaml: `commands: {writes: [{first_key: 1}]}`, want: []string{"commands.writes", "element 1 without a name"}},
		"write twice":                      {yaml: `commands: {writes: [{name: x}, {name: X}]}`, want: []string{"commands.writes", "element 2 that names X again"}},
		"write's keys":                     {yaml: `commands: {writes: [{name: x, first_key: 2, last_key: 1}]}`, want: []string{"whose last_key is before its first_key"}},
		"write's last key alone":           {yaml: `commands: {writes: [{name: x, last_key: 1}]}`, want: []string{"with a last_key and no first_key"}},
		"write's step":                     {yaml: `commands: {writes: [{name: x, first_key: 1, step: 0}]}`, want: []string{`commands.writes[1].step "0"`, "is too small: set at least 1"}},
		"share":                            {yaml: `verify: {shadow_reads: some}`, want: []string{`verify.shadow_reads "some"`, "is not a share: write a number from 0 to 1"}},
		"share beyond all":                 {yaml: `verify: {shadow_reads: 2}`, want: []string{`verify.shadow_reads "2"`, "is not between 0 and 1"}},
		"hook that tells nobody":           {yaml: `hooks: [{on: [fault]}]`, want: []string{"hooks (file", "element 1 that tells nobody: give it a url or a command"}},
		"hook that tells twice":            {yaml: `hooks: [{url: "http://a", command: [b]}]`, want: []string{"element 1 with a url and a command"}},
		"hook of an unknown kind":          {yaml: `hooks: [{on: [faults], command: [b]}]`, want: []string{`element 1 with "faults" in on`, "choose from process, phase"}},
		"hook of no kind":                  {yaml: `hooks: [{on: [], command: [b]}]`, want: []string{"element 1 that tells of nothing"}},
		"hook's list":                      {yaml: `hooks: [{on: {a: b}, command: [b]}]`, want: []string{"element 1 that has a on that is not a list"}},
		"hook's argument":                  {yaml: `hooks: [{command: [b, 3]}]`, want: []string{"has a command that has an element 2 that is not a text"}},
		"hook's URL":                       {yaml: `hooks: [{url: "ftp://user:hush@a"}]`, want: []string{"element 1 whose url is not one: write http://"}},
		"printed URL of a hook":            {yaml: `hooks: [{url: "***"}]`, want: []string{"which stands for one that is not shown"}},
		"hook's secret file":               {yaml: `hooks: [{url: "http://a", secret_file: testdata/none}]`, want: []string{"element 1 whose secret cannot be used: read the password: open testdata/none"}},
		"hook's short secret":              {yaml: `hooks: [{url: "http://a", secret_file: testdata/password}]`, want: []string{"holds less than 16 characters"}},
		"command with a secret":            {yaml: `hooks: [{command: [b], secret_file: testdata/password}]`, want: []string{"only requests are signed"}},
		"hook's timeout":                   {yaml: `hooks: [{command: [b], timeout: 1ms}]`, want: []string{`hooks[1].timeout "1ms"`, "is too small"}},
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
			// Without URLs elsewhere that is still all: they may stand in the file.
			os.Unsetenv("TANDEM_SOURCE") // withURLs puts it back
			if _, err := Load(Input{File: file}); err == nil || strings.Contains(err.Error(), "is not set") {
				t.Errorf("without URLs: %v", err)
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
