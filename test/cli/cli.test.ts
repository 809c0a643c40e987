import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { commandsContract } from "../contract/commands.contract.ts";
import { type Ended, type Launched, launchCli, runCli } from "./run.ts";

const corpus = fileURLToPath(new URL("../corpus/manifests/", import.meta.url));
const password = "s3cret-canary-value";

let root: string;
let state: string;
let manifests: string;
let config: string;
const started = new Set<ChildProcess>();

function launch(args: readonly string[], env: NodeJS.ProcessEnv = {}): Launched {
  const launched = launchCli(args, { AUDIT_PIPELINE_STATE: state, ...env });
  started.add(launched.child);
  void launched.ended.then(() => started.delete(launched.child));
  return launched;
}

const cli = (...args: string[]): Promise<Ended> => runCli(args, { AUDIT_PIPELINE_STATE: state });

async function startStandalone(stateDir = state): Promise<Launched> {
  const running = launch(["standalone", "-f", manifests, "--state", stateDir, "--config", config]);
  const ready = new Promise<void>((resolve) =>
    running.child.stderr?.on("data", (text: Buffer) => text.includes("Operator is running") && resolve()),
  );
  await Promise.race([
    ready,
    running.ended.then(({ stderr }) => {
      throw new Error(stderr);
    }),
  ]);
  return running;
}

const topic = (name: string, extra = "") =>
  `---\napiVersion: auditpipeline.io/v1alpha1\nkind: AuditTopic\nmetadata: {name: ${name}, namespace: team-a}\nspec: {partitions: 3}\n${extra}`;
const secret = `---\napiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: team-a}\nstringData: {password: ${password}}\n`;

let standalone: Awaited<ReturnType<typeof startStandalone>>;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cli-"));
  [state, manifests, config] = [join(root, "state"), join(root, "m"), join(root, "config.yaml")];
  await mkdir(manifests);
  await writeFile(config, "clusterId: cli\nadmin: {host: 127.0.0.1, port: 0}\n");
  await writeFile(join(manifests, "a.yaml"), topic("one") + secret);
  standalone = await startStandalone();
  await cli("wait", "at/one", "-n", "team-a", "--for=condition=Ready=False", "--timeout", "20s");
});
afterAll(async () => {
  for (const child of started) child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

const inTeam = (...args: string[]) => cli(...args, "-n", "team-a");

commandsContract("a standalone", () => ({ cli, namespace: "team-a", empty: "default", password }));

describe("delete", () => {
  test("refuses what a file declares, and names the file", async () => {
    const { code, stderr } = await inTeam("delete", "at", "one");
    expect(code).toBe(1);
    expect(stderr).toContain(`declared in ${join(manifests, "a.yaml")}`);
  });

  test("a resource goes with its file, and comes back with it", async () => {
    await writeFile(join(manifests, "b.yaml"), topic("two"));
    expect((await inTeam("wait", "at/two", "--for=condition=Ready=False", "--timeout", "20s")).code).toBe(0);
    await rm(join(manifests, "b.yaml"));
    expect(await inTeam("wait", "at/two", "--for=delete", "--timeout", "20s")).toMatchObject({
      ...{ code: 0, stdout: "audittopic.auditpipeline.io/two deleted\n" },
    });
    expect((await inTeam("delete", "at", "two")).code).toBe(1);
  });
});

describe("wrong usage ends with 2 and a message on stderr alone", () => {
  test.for([
    { args: ["frob"], says: /unknown command 'frob'/ },
    { args: ["get", "things"], says: /"things" is no kind; known are/ },
    { args: ["get", "at", "-o", "xml"], says: /Allowed choices are table/ },
    { args: ["wait", "at/one", "--for=Ready"], says: /--for=Ready: allowed are/ },
    { args: ["wait", "at/one", "--for=delete", "--timeout", "soon"], says: /--timeout soon: allowed are/ },
    { args: ["get", "at", "--state", "/nowhere/at/all"], says: /does not exist/ },
    { args: ["get", "at", "--state", "x", "--context", "y"], says: /a standalone and --context a cluster/ },
    { args: ["get", "at", "--kubeconfig", "/nowhere.yaml"], says: /kubeconfig \/nowhere.yaml: / },
    { args: ["standalone", "-f", "/nowhere/at/all"], says: /found no folder/ },
    { args: ["standalone", "-f", "/tmp", "--config", "/nowhere.yaml"], says: /cannot be read/ },
    { args: ["validate", "-f", "/nowhere.yaml"], says: /does not exist/ },
    { args: ["delete", "at"], says: /Which one/ },
  ])("$args", async ({ args, says }) => {
    const { code, stdout, stderr } = await cli(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(says);
  });

  test("nowhere to look ends with what to say", async () => {
    const nowhere = { AUDIT_PIPELINE_STATE: undefined, KUBECONFIG: undefined, KUBERNETES_SERVICE_HOST: undefined };
    const { code, stderr } = await runCli(["get", "at"], { ...nowhere, HOME: root });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^No cluster: .*--kubeconfig.*--state/);
  });

  test("a health port that is in use ends the start, with the setting to change", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const { port } = blocker.address() as AddressInfo;
    const env = { AUDIT_PIPELINE__ADMIN__PORT: String(port) };
    const other = ["standalone", "-f", manifests, "--state", join(root, "other"), "--config", config];
    const { code, stderr } = await launch(other, env).ended;
    blocker.close();
    expect(code).toBe(2);
    expect(stderr).toContain(`admin: cannot listen on 127.0.0.1:${port} (EADDRINUSE); set admin.port`);
  });

  test("an unknown environment variable ends the start with all problems", async () => {
    const env = { AUDIT_PIPELINE__NONSENSE: "1", AUDIT_PIPELINE__CONCURRENCY: "many" };
    const { code, stderr } = await launch(["standalone", "-f", manifests, "--state", join(root, "other")], env).ended;
    expect(code).toBe(2);
    expect(stderr).toContain("concurrency");
  });
});

describe("validate, crds, version", () => {
  test("validate names file, path, what was found and what is allowed", async () => {
    const file = join(root, "bad.yaml");
    await writeFile(file, topic("bad").replace("partitions: 3", "partitions: many, retention: {tme: 1h}"));
    const { code, stdout, stderr } = await cli("validate", "-f", file);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/bad\.yaml: spec\.partitions: found "many"; /);
    expect(stderr).toMatch(/bad\.yaml: spec\.retention\.tme: found an unknown field; /);
  });

  test("validate takes the samples, a good manifest on standard input too", async () => {
    const samples = fileURLToPath(new URL("../../config/samples", import.meta.url));
    expect(await cli("validate", "-f", samples)).toMatchObject({ code: 0, stderr: "" });
    const { child, ended } = launch(["validate", "-f", "-"]);
    child.stdin?.end(topic("stdin"));
    expect(await ended).toMatchObject({ code: 0, stdout: "audittopic.auditpipeline.io/stdin is valid\n" });
  });

  test("validate refuses every refused manifest of the corpus", async () => {
    expect((await cli("validate", "-f", join(corpus, "refused"))).code).toBe(2);
  });

  test("crds prints both definitions", async () => {
    const documents = parseAllDocuments((await cli("crds")).stdout).map(
      (document) => document.toJS() as { kind: string },
    );
    expect(documents.map(({ kind }) => kind)).toEqual(["CustomResourceDefinition", "CustomResourceDefinition"]);
  });

  test("version and --help end with 0", async () => {
    expect(await cli("version")).toMatchObject({ code: 0, stdout: expect.stringMatching(/^audit-pipeline \d+\./) });
    expect((await cli("--help")).code).toBe(0);
  });
});

describe("standalone", () => {
  test("refuses a folder that another one runs", async () => {
    const { code, stderr } = await cli("standalone", "-f", manifests, "--config", config);
    expect(code).toBe(1);
    expect(stderr).toContain(`in use by process ${standalone.child.pid}`);
  });

  test("answers on its health port, and keeps its folder to its user", async () => {
    expect((await stat(state)).mode & 0o777).toBe(0o700);
    expect((await stat(join(state, "objects", "Secret", "team-a", "login.json"))).mode & 0o777).toBe(0o600);
  });

  test("in a folder whose path is too long for a socket it can be spoken to all the same", async () => {
    const deep = join(root, "d".repeat(60), "e".repeat(60));
    await mkdir(deep, { recursive: true });
    const other = await startStandalone(join(deep, "state"));
    const { code } = await cli("delete", "at", "none", "--state", join(deep, "state"));
    expect(code).toBe(1);
    const { stdout } = await cli("get", "at", "-A", "-o", "name", "--state", join(deep, "state"));
    expect(stdout).toContain("/one");
    other.child.kill("SIGTERM");
    expect((await other.ended).code).toBe(0);
  });

  test("SIGTERM ends it with 0; what it kept can still be read, but not deleted; it says nothing secret", async () => {
    standalone.child.kill("SIGTERM");
    const { code, stdout, stderr } = await standalone.ended;
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).not.toContain(password);
    expect((await inTeam("get", "at", "one", "-o", "name")).stdout).toBe("audittopic.auditpipeline.io/one\n");
    expect(await inTeam("delete", "at", "one")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No standalone runs"),
    });
    await expect(readFile(join(state, "lock"))).rejects.toThrow("ENOENT");
  });

  test("killed with -9 and started again it goes on where it was", async () => {
    const first = await startStandalone();
    const before = (await inTeam("get", "at", "one", "-o", "json")).stdout;
    first.child.kill("SIGKILL");
    await first.ended;
    expect((await inTeam("get", "at", "one", "-o", "json")).stdout).toBe(before);
    const second = await startStandalone();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect((await inTeam("get", "at", "one", "-o", "json")).stdout).toBe(before);
    second.child.kill("SIGTERM");
    expect((await second.ended).code).toBe(0);
  });
});
