import { readFile } from "node:fs/promises";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { Planned } from "../dry-run/plan-resources.ts";
import type { KubeFlags } from "../kubernetes/connect.ts";
import { type Finding, hasFailed, renderFindings } from "./check.ts";
import type { Client } from "./client.ts";
import { crdTexts } from "./crds.ts";
import { describe } from "./describe.ts";
import { Failure } from "./failure.ts";
import { get, getOne, notFound, oneKind, type Scope, type Target, targetOf } from "./get.ts";
import { type Opened, openClient } from "./open-client.ts";
import { type Format, formats } from "./output.ts";
import { type PlaceFlags, placeOf } from "./place.ts";
import { qualifiedKind, UnknownKindError } from "./resource-names.ts";
import { renderStatus } from "./status.ts";
import { goalOf, timeoutMs, waitFor } from "./wait.ts";
import { watchStatus } from "./watch-status.ts";

export interface StandaloneFlags {
  filename: string;
  state: string;
  config?: string;
  leavePods: boolean;
}

export interface PlanFlags {
  filename: string;
  config?: string;
  state?: string;
  output: "table" | "json";
}

interface ScopeFlags extends PlaceFlags {
  namespace?: string;
  allNamespaces?: boolean;
}

export interface OperatorFlags extends KubeFlags {
  config?: string;
}

/** Commands that need clients of the servers; the first two run until they are stopped. */
export interface LongCommands {
  standalone(flags: StandaloneFlags): Promise<void>;
  operator(flags: OperatorFlags): Promise<void>;
  planWith(flags: PlanFlags): Promise<Planned>;
  check(flags: CheckFlags): Promise<Finding[]>;
}

export interface CheckFlags extends PlaceFlags {
  config?: string;
  operatorNamespace?: string;
  serviceAccount: string;
  output: "table" | "json";
}

/** The command line of `audit-pipeline`. */
export function buildProgram({ standalone, operator, planWith, check }: LongCommands): Command {
  const program = new Command("audit-pipeline")
    .description("Audit pipelines from Kafka to PostgreSQL: the operator and its command line")
    .showHelpAfterError("(--help shows the usage)")
    .exitOverride()
    .enablePositionalOptions();

  program
    .command("standalone")
    .description("run the operator and its sinks on this machine, from a folder of manifests")
    .requiredOption("-f, --filename <dir>", "folder of AuditTopic, AuditPipeline, Secret and ConfigMap manifests")
    .addOption(stateOption().makeOptionMandatory())
    .addOption(new Option("--config <file>", "the operator's configuration").env("CONFIG_PATH"))
    .option("--leave-pods", "leave the sinks running when the operator is stopped", false)
    .action(standalone);

  program
    .command("operator")
    .description("run the operator against a Kubernetes API server; the sinks run there as Deployments")
    .addOption(new Option("--config <file>", "the operator's configuration").env("CONFIG_PATH"))
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .action(operator);

  program
    .command("validate")
    .description("check manifests without any server")
    .requiredOption("-f, --filename <path>", "file, folder, or - for standard input")
    .action(async ({ filename }: { filename: string }) => {
      const { validate } = await import("./validate.ts");
      const { valid, refused } = await validate(filename);
      print(valid.map((line) => `${line}\n`).join(""));
      if (refused.length > 0) throw new Failure(refused.join("\n"), 2);
    });

  scoped(program.command("get <kinds> [name]"))
    .description("list resources of one kind or several (pods,deployments), or one of them")
    .addOption(new Option("-o, --output <format>", "how").choices(formats).default("table"))
    .action(async (kind: string, name: string | undefined, flags: ScopeFlags & { output: Format }) => {
      const target = targetOf(kind, name);
      await at(flags, async ({ client }, scope) => print(await get(client, target, scope, flags.output)));
    });

  scoped(program.command("describe <kind> [name]"))
    .description("show one resource with its events")
    .action(async (kind: string, name: string | undefined, flags: ScopeFlags) => {
      const target = targetOf(kind, name);
      await at(flags, async ({ client }, scope) => print(await describe(client, target, scope)));
    });

  scoped(program.command("status <name>"))
    .description("show whether an AuditPipeline (or KIND/NAME) does what it should, and why not")
    .option("-w, --watch", "go on showing it as it changes", false)
    .action(async (name: string, flags: ScopeFlags & { watch: boolean }) => {
      const target = name.includes("/") ? targetOf(name) : { kinds: ["AuditPipeline", "AuditTopic"], name };
      await at(flags, async ({ client }, scope) => {
        if (flags.watch) return watchStatus(client, target, scope, print);
        print(renderStatus(await getOne(client, target, scope), Date.now()));
      });
    });

  scoped(program.command("wait <kind> [name]"))
    .description("wait until a resource has a condition, or is deleted")
    .requiredOption("--for <goal>", "condition=TYPE[=STATUS] or delete")
    .option("--timeout <duration>", "such as 60s or 5m", "60s")
    .action(async (kind: string, name: string | undefined, flags: ScopeFlags & { for: string; timeout: string }) => {
      const wait = { goal: goalOf(flags.for), timeoutMs: timeoutMs(flags.timeout) };
      const target = oneKind(kind, name);
      const waiting = async ({ client }: Opened, scope: Scope) => print(await waitFor(client, target, scope, wait));
      // The standalone that is waited for may not have made its folder yet.
      await at(flags, waiting, true);
    });

  scoped(program.command("delete <kind> [name]"))
    .description("delete a resource, and what it made by its deletionPolicy")
    .option("--wait", "until it is gone", false)
    .option("--timeout <duration>", "how long to wait", "10m")
    .action(async (kind: string, name: string | undefined, flags: ScopeFlags & { wait: boolean; timeout: string }) => {
      const target = oneKind(kind, name);
      const limit = timeoutMs(flags.timeout);
      await at(flags, ({ client }, scope) => remove(client, target, scope, flags.wait ? limit : undefined));
    });

  program
    .command("plan")
    .description("show what applying manifests would change in Kafka, PostgreSQL and here, and change nothing")
    .requiredOption("-f, --filename <path>", "file, folder, or - for standard input")
    .addOption(new Option("--config <file>", "the operator's configuration").env("CONFIG_PATH"))
    .addOption(new Option("-o, --output <format>", "how").choices(["table", "json"]).default("table"))
    .addOption(stateOption())
    .action(async (flags: PlanFlags) => {
      const planned = await planWith(flags);
      const { renderPlan } = await import("./plan.ts");
      print(renderPlan(planned, flags.output));
      if (planned.problems.length > 0) throw new Failure("", 2);
      if (planned.steps.length > 0) throw new Failure("", 1);
    });

  program
    .command("check")
    .description(
      "look whether everything is there that the operator needs: definitions and rights in the cluster, back-ends",
    )
    .addOption(new Option("--config <file>", "the operator's configuration, for its back-ends").env("CONFIG_PATH"))
    .option("--operator-namespace <namespace>", "where the operator runs; default the configuration's")
    .option("--service-account <name>", "the operator's", "audit-pipeline-operator")
    .addOption(new Option("-o, --output <format>", "how").choices(["table", "json"]).default("table"))
    .addOption(placeOption())
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .action(async (flags: CheckFlags) => {
      const findings = await check(flags);
      print(renderFindings(findings, flags.output));
      if (hasFailed(findings)) throw new Failure("", 1);
    });

  program
    .command("crds")
    .description("print the CustomResourceDefinitions")
    .action(async () => print(await crds()));

  program
    .command("version")
    .description("print the version")
    .action(async () => print(`audit-pipeline ${await version()} (Node ${process.versions.node})\n`));

  return program;
}

/** Runs one command and answers the exit code: 0 done; 1 failed, not found, timed out; 2 usage, configuration, manifest. */
export async function runProgram(program: Command, argv: readonly string[]): Promise<number> {
  try {
    await program.parseAsync(argv);
    return 0;
  } catch (error) {
    // Commander has printed its own message; help and version end with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const message = error instanceof Error ? error.message : String(error);
    if (message !== "") process.stderr.write(`${message}\n`);
    if (error instanceof UnknownKindError) return 2;
    return error instanceof Failure ? error.exitCode : 1;
  }
}

const kubeconfigOption = () =>
  new Option("--kubeconfig <file>", "the cluster's kubeconfig; default KUBECONFIG, then ~/.kube/config");
const contextOption = () => new Option("--context <name>", "context of the kubeconfig");

const stateOption = () => placeOption().env("AUDIT_PIPELINE_STATE");

/** Without the environment, which a flag that means a cluster outranks: see placeOf. */
const placeOption = () =>
  new Option(
    "--state <dir>",
    "a standalone's state folder, in place of a cluster; default AUDIT_PIPELINE_STATE",
  ).argParser((dir: string) => {
    if (dir === "") throw new InvalidArgumentError("It is empty.");
    return dir;
  });

function scoped(command: Command): Command {
  return command
    .option("-n, --namespace <namespace>", "namespace of the resource; default the context's, else default")
    .option("-A, --all-namespaces", "all namespaces")
    .addOption(placeOption())
    .addOption(kubeconfigOption())
    .addOption(contextOption());
}

/** Does the work on the cluster or the standalone that the flags mean. */
async function at(
  flags: ScopeFlags,
  work: (opened: Opened, scope: Scope) => Promise<void>,
  mayCome = false,
): Promise<void> {
  const opened = await openClient(placeOf(flags, process.env), mayCome);
  try {
    const { namespace = opened.namespace, allNamespaces = false } = flags;
    await work(opened, { namespace, allNamespaces });
  } finally {
    await opened.close();
  }
}

async function remove(client: Client, { kinds, name }: Target, scope: Scope, waitMs: number | undefined) {
  if (name === undefined) throw new Failure("Which one? Give KIND NAME", 2);
  const [kind = ""] = kinds;
  const ref = { kind, namespace: scope.namespace, name };
  const found = await client.get(ref);
  if (found === undefined) throw notFound([kind], name);
  await client.delete(ref, { uid: found.metadata.uid });
  print(`${qualifiedKind(kind)} "${name}" deleted\n`);
  if (waitMs === undefined) return;
  await waitFor(client, { kinds, name }, scope, { goal: { kind: "Delete" }, timeoutMs: waitMs });
}

async function crds(): Promise<string> {
  const texts = await crdTexts();
  return texts.map((text) => (text.startsWith("---") ? text : `---\n${text}`)).join("");
}

async function version(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

const print = (text: string) => void process.stdout.write(text);
