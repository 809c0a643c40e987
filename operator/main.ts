import {
  buildProgram,
  type CheckFlags,
  type OperatorFlags,
  type PlanFlags,
  runProgram,
  type StandaloneFlags,
} from "./cli/program.ts";

// `audit-pipeline get ... | head` closes our output early; that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

// Clients of Kafka and PostgreSQL take longer to load than `get` takes to answer.
const standalone = async (flags: StandaloneFlags) => {
  const [{ runStandalone }, { makeControllers }] = await Promise.all([
    import("./cli/standalone.ts"),
    import("./wiring.ts"),
  ]);
  await runStandalone(flags, makeControllers);
};
const operator = async (flags: OperatorFlags) => {
  const [{ runOperator }, { makeControllers }] = await Promise.all([
    import("./cli/operator.ts"),
    import("./wiring.ts"),
  ]);
  await runOperator(flags, makeControllers);
};
const planWith = async ({ filename, config, state }: PlanFlags) => {
  const [{ plan }, { configOf }, { connect }] = await Promise.all([
    import("./cli/plan.ts"),
    import("./cli/standalone.ts"),
    import("./wiring.ts"),
  ]);
  return plan({ path: filename, config: configOf(config), stateDir: state, connect });
};
const check = async (flags: CheckFlags) => (await import("./cli/run-check.ts")).runCheck(flags);
const program = buildProgram({ standalone, operator, planWith, check });
process.exitCode = await runProgram(program, process.argv);
