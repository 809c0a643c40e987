import { buildProgram, runProgram } from "./cli/program.ts";

// `audit-pipeline get ... | head` closes our output early; that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const program = buildProgram(async (flags) => {
  // Clients of Kafka and PostgreSQL take longer to load than `get` takes to answer.
  const [{ runStandalone }, { makeControllers }] = await Promise.all([
    import("./cli/standalone.ts"),
    import("./wiring.ts"),
  ]);
  await runStandalone(flags, makeControllers);
});
process.exitCode = await runProgram(program, process.argv);
