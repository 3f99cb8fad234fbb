package main

import "github.com/spf13/cobra"

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve clients and keep both servers equal, until told otherwise",
		Long: `Serve clients between the two servers. A new state directory begins with a precheck and, unless --start is
manual, the backfill; an existing one goes on where it was. SIGINT or SIGTERM drains and ends; a second one
ends at once. SIGHUP has the configuration read again.`,
		Example: `  tandem serve --source redis://old:6379 --target redis://new:6379
  tandem serve -c tandem.yaml`,
		Args: noArguments,
	}
	settings := addSettings(cmd, serveFlags)
	settings.addTakeover(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settings.load()
		if err != nil {
			return err
		}
		log, level := newLevelledLogger(cmd.ErrOrStderr(), c.Log)
		return runServe(cmd.Context(), c, newReloader(settings.load, level, c, log), log)
	}
	return cmd
}
