import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";

const main = fileURLToPath(new URL("../../operator/main.ts", import.meta.url));
const corpus = fileURLToPath(new URL("../corpus/manifests/", import.meta.url));
const password = "s3cret-canary-value";

let root: string;
let state: string;
let manifests: string;
let config: string;
const started = new Set<ChildProcess>();

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function launch(
  args: readonly string[],
  env: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, AUDIT_PIPELINE_STATE: state, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  started.add(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
  const ended = once(child, "close").then(([code]) => {
    started.delete(child);
    return { code: code as number | null, stdout, stderr };
  });
  return { child, ended };
}

/** Runs a command to its end. */
const cli = async (...args: string[]): Promise<Ended> => {
  const { child, ended } = launch(args);
  child.stdin?.end();
  return ended;
};

async function startStandalone(stateDir = state): Promise<{ child: ChildProcess; ended: Promise<Ended> }> {
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

describe("get", () => {
  test("prints a table like kubectl's", async () => {
    const { code, stdout, stderr } = await inTeam("get", "audittopic");
    expect(stdout.split("\n")[0]).toMatch(/^NAME +TOPIC +PARTITIONS +RF +POLICY +READY +AGE$/);
    expect(stdout.split("\n")[1]).toMatch(/^one +Retain +False +\d+s$/);
    expect([code, stderr]).toEqual([0, ""]);
  });

  test.for(["at", "audittopics", "AuditTopic", "audittopics.auditpipeline.io", "audit"])(
    "takes %s for the kind",
    async (kind) => {
      expect((await inTeam("get", kind, "-o", "name")).stdout).toContain("audittopic.auditpipeline.io/one\n");
    },
  );

  test("of one object prints it, of many a List", async () => {
    const one = JSON.parse((await inTeam("get", "at", "one", "-o", "json")).stdout) as { kind: string };
    expect(one.kind).toBe("AuditTopic");
    const slash = parse((await inTeam("get", "at/one", "-o", "yaml")).stdout) as { kind: string };
    expect(slash.kind).toBe("AuditTopic");
    const many = JSON.parse((await inTeam("get", "at", "-o", "json")).stdout) as { kind: string; items: unknown[] };
    expect([many.kind, many.items.length]).toEqual(["List", 1]);
  });

  test("without resources prints nothing to stdout, and an empty List as JSON", async () => {
    expect(await cli("get", "pods")).toEqual({
      code: 0,
      stdout: "",
      stderr: "No resources found in default namespace.\n",
    });
    expect(JSON.parse((await cli("get", "pods", "-o", "json")).stdout)).toMatchObject({ items: [] });
  });

  test("-A shows every namespace", async () => {
    expect((await cli("get", "at", "-A")).stdout).toMatch(/^NAMESPACE +NAME .*\nteam-a +one /);
  });

  test("what is not there ends with 1", async () => {
    const { code, stderr } = await inTeam("get", "at", "none");
    expect([code, stderr]).toEqual([1, 'audittopic.auditpipeline.io "none" not found\n']);
  });
});

describe("secrets", () => {
  test("are shown as base64 by -o yaml, as by kubectl, and nowhere else", async () => {
    const yaml = parse((await inTeam("get", "secret", "login", "-o", "yaml")).stdout) as {
      data: Record<string, string>;
    };
    expect(Buffer.from(yaml.data["password"] ?? "", "base64").toString()).toBe(password);
    const encoded = Buffer.from(password).toString("base64");
    for (const args of [
      ["get", "secrets"],
      ["get", "secrets", "-o", "wide"],
      ["describe", "secret", "login"],
      ["get", "events"],
    ]) {
      const { stdout, stderr, code } = await inTeam(...args);
      expect(code).toBe(0);
      expect(stdout + stderr).not.toContain(password);
      expect(stdout + stderr).not.toContain(encoded);
    }
  });
});

describe("describe, status, wait", () => {
  test("describe shows the object and its events", async () => {
    const { stdout } = await inTeam("describe", "at", "one");
    expect(stdout).toContain("Name: one\n");
    expect(stdout).toMatch(/Events:\n.*\n +Warning +BackendNotFound +\d+s \(x\d+\) /);
  });

  test("status gives the verdict first", async () => {
    const { stdout } = await inTeam("status", "one");
    expect(stdout.split("\n")[0]).toMatch(/^AuditTopic team-a\/one: Ready=False BackendNotFound: /);
    expect((await inTeam("status", "none")).code).toBe(1);
  });

  test("wait ends with 1 at its timeout, and says what it last saw", async () => {
    const { code, stderr } = await inTeam("wait", "at/one", "--for=condition=Ready", "--timeout", "500ms");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^timed out waiting on audittopic.auditpipeline.io\/one: Ready=False BackendNotFound/);
    expect((await inTeam("wait", "at/none", "--for=condition=Ready", "--timeout", "300ms")).stderr).toContain(
      "not found",
    );
  });
});

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
    { args: ["standalone", "-f", "/nowhere/at/all"], says: /found no folder/ },
    { args: ["standalone", "-f", "/tmp", "--config", "/nowhere.yaml"], says: /cannot be read/ },
    { args: ["validate", "-f", "/nowhere.yaml"], says: /does not exist/ },
    { args: ["delete", "at"], says: /Which one/ },
  ])("$args", async ({ args, says }) => {
    const { code, stdout, stderr } = await cli(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(says);
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
