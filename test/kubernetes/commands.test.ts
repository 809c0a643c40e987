import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { parse, stringify } from "yaml";
import { writeCli } from "../../hack/cli/bundle.ts";
import { kubectlOf, kubectlProgram } from "../../hack/cluster/kubectl.ts";
import { kubernetesStore } from "../../operator/kubernetes/kubernetes-store.ts";
import { type Ended, runCli } from "../cli/run.ts";
import { commandsContract } from "../contract/commands.contract.ts";
import { connectApi, newNamespace } from "./api.ts";

const { kubeconfig, kubeconfigs } = inject("controlPlane");
const api = connectApi(kubeconfig);
const store = kubernetesStore({ api, fieldManager: "commands" });
const userRoles = fileURLToPath(new URL("../../config/rbac/user-roles.yaml", import.meta.url));
const runFile = promisify(execFile);
const password = "s3cret-canary-value";
let [namespace, empty, root] = ["", "", ""];

const env = (file: string) => ({ KUBECONFIG: file, AUDIT_PIPELINE_STATE: undefined });
const cli = (...args: string[]): Promise<Ended> => runCli(args, env(kubeconfig));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "commands-"));
  [namespace, empty] = [await newNamespace(api, "team-a"), await newNamespace(api, "empty")];
  const by = { fieldManager: "commands" };
  const login = {
    ...{ apiVersion: "v1", kind: "Secret", metadata: { name: "login", namespace } },
    data: { password: Buffer.from(password).toString("base64") },
  };
  await store.apply(login, by);
  const topic = {
    ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditTopic", metadata: { name: "one", namespace } },
    spec: { partitions: 3 },
  };
  const one = await store.apply(topic, by);
  const why = { reason: "BackendNotFound", message: "The configuration has no Kafka back-end named default" };
  const ready = { type: "Ready", status: "False", observedGeneration: 1, lastTransitionTime: "2026-01-01T00:00:00Z" };
  await store.patchStatus(
    { kind: "AuditTopic", namespace, name: "one" },
    { observedGeneration: 1, conditions: [{ ...ready, ...why }] },
  );
  const regarding = { kind: "AuditTopic", namespace, name: "one", uid: one.metadata.uid };
  await store.recordEvent({
    ...{ regarding, type: "Warning", reason: why.reason, action: "Reconcile", note: why.message },
  });
});
afterAll(async () => {
  await api.close();
  await rm(root, { recursive: true, force: true });
});

commandsContract("a cluster", () => ({ cli, namespace, empty, password }));

describe("a cluster: which one, and where in it", () => {
  /** The same cluster under another context, with a namespace of its own. */
  async function withContext(change: (config: Kubeconfig) => void): Promise<string> {
    const config = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
    change(config);
    const file = join(root, `${Math.random()}.kubeconfig`);
    await writeFile(file, stringify(config), { mode: 0o600 });
    return file;
  }
  interface Kubeconfig {
    clusters: { cluster: { server: string; "certificate-authority-data"?: string } }[];
    contexts: { name: string; context: { cluster: string; user: string; namespace?: string } }[];
  }

  test("the context's namespace is the default, --context chooses, a flag outranks AUDIT_PIPELINE_STATE", async () => {
    const file = await withContext(({ contexts }) => {
      const [first] = contexts;
      if (first) contexts.push({ name: "team", context: { ...first.context, namespace } });
    });
    expect((await runCli(["get", "at", "-o", "name"], env(file))).stdout).toBe("");
    const args = ["get", "at", "-o", "name", "--kubeconfig", file, "--context", "team"];
    const { stdout } = await runCli(args, { AUDIT_PIPELINE_STATE: "/nowhere/at/all" });
    expect(stdout).toBe("audittopic.auditpipeline.io/one\n");
    const unknown = await runCli(["get", "at", "--context", "none"], env(file));
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringMatching(/"none" is not in .* has cluster, team/) });
  });

  test("a server that is away, and one that is somebody else's, are told with what to look at", async () => {
    const free = createServer().listen(0, "127.0.0.1");
    const { port } = await new Promise<{ port: number }>((done) =>
      free.once("listening", () => done(free.address() as { port: number })),
    );
    free.close();
    const away = await withContext(({ clusters: [first] }) => {
      if (first) first.cluster.server = `https://127.0.0.1:${port}`;
    });
    const { code, stderr } = await runCli(["get", "at"], env(away));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/cannot be reached \(ECONNREFUSED\).*--context/)]);
    const foreign = await withContext(({ clusters: [first] }) => {
      if (first) delete first.cluster["certificate-authority-data"];
    });
    expect((await runCli(["get", "at"], env(foreign))).stderr).toMatch(/is not trusted .*certificate-authority/);
  });

  test("what is forbidden is told with the binding that allows it, and that binding does", async () => {
    const { code, stderr } = await runCli(["get", "ap", "-n", namespace], env(kubeconfigs.nobody));
    expect(code).toBe(1);
    expect(stderr).toMatch(/User "nobody" cannot list resource "auditpipelines"/);
    expect(stderr).toContain(
      `kubectl create rolebinding audit-pipeline-viewer-nobody -n ${namespace} --clusterrole=audit-pipeline-viewer --user=nobody`,
    );
    const asAdmin = kubectlOf(kubeconfig);
    await asAdmin(["apply", "-f", userRoles]);
    await asAdmin(/^ +kubectl (.*)$/m.exec(stderr)?.[1]?.split(" ") ?? []);
    const allowed = () => runCli(["get", "ap", "-n", namespace], env(kubeconfigs.nobody)).then(({ code: now }) => now);
    await expect.poll(allowed, { timeout: 20_000 }).toBe(0);
  });

  test("a kind that the server does not serve is none that was deleted", async () => {
    const ours = { method: "GET", path: "/apis/auditpipeline.io/v1/audittopics/one" } as const;
    await expect(api.request(ours)).rejects.toMatchObject({ name: "ApiError", code: 404 });
    const none = { kind: "AuditTopic", namespace, name: "none" };
    expect(await store.get(none)).toBeUndefined();
  });

  test("kubectl finds it as a plugin, and runs it on its own cluster", async () => {
    const folder = join(root, "cli");
    await writeCli(folder);
    const kubectl = await kubectlProgram();
    const PATH = `${join(folder, "bin")}:${process.env["PATH"]}`;
    const options = { env: { ...process.env, ...env(kubeconfig), PATH, XDG_CACHE_HOME: join(root, "cache") } };
    const listed = await runFile(kubectl, ["plugin", "list"], options);
    expect(listed.stdout).toContain(join(folder, "bin", "kubectl-audit_pipeline"));
    const { stdout } = await runFile(kubectl, ["audit-pipeline", "get", "at", "-n", namespace, "-o", "name"], options);
    expect(stdout).toBe("audittopic.auditpipeline.io/one\n");
  });

  test("delete deletes, and says what was not there", async () => {
    const metadata = { name: "gone", namespace };
    await store.create({ apiVersion: "v1", kind: "ConfigMap", metadata });
    expect(await cli("delete", "cm/gone", "-n", namespace, "--wait")).toMatchObject({ code: 0 });
    expect(await store.get({ kind: "ConfigMap", ...metadata })).toBeUndefined();
    expect((await cli("delete", "cm/gone", "-n", namespace)).code).toBe(1);
  });
});
