import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openStore } from "./embedded-store.ts";
import { materialise, rewrite } from "./pod-files.ts";
import type { Container, Pod } from "./workload-types.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pod-files-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const metadata = (name: string) => ({ name, namespace: "n" });
const podOf = (container: Partial<Container>): Pod => ({
  ...{ apiVersion: "v1", kind: "Pod" },
  metadata: {
    ...{ ...metadata("web-1"), uid: "u1", resourceVersion: "1", generation: 1, creationTimestamp: "" },
    labels: { "app.kubernetes.io/name": "web" },
  },
  spec: {
    containers: [{ name: "main", ...container }],
    volumes: [
      { name: "config", configMap: { name: "settings" } },
      { name: "ca", secret: { secretName: "ca" } },
    ],
  },
});

async function run(container: Partial<Container>) {
  const store = await openStore({ dir: join(dir, "state") });
  const settings = { "config.yaml": "caFile: /etc/web/ca/ca.crt\nother: /etc/webber\n" };
  await store.create({ apiVersion: "v1", kind: "ConfigMap", metadata: metadata("settings"), data: settings } as never);
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadata("ca"),
    stringData: { "ca.crt": "CERT /etc/web" },
  };
  await store.create(secret);
  const pod = podOf(container);
  return materialise(pod, pod.spec.containers[0] as Container, join(dir, "pod"), store);
}

const mounts = [
  { name: "config", mountPath: "/etc/web" },
  { name: "ca", mountPath: "/etc/web/ca" },
];

describe("materialise", () => {
  test("mount paths stand for the folders they are written to, in words, variables and ConfigMap files", async () => {
    const { command, env } = await run({
      ...{ command: ["web"], args: ["--config=/etc/web/config.yaml", "/etc/webber"], volumeMounts: mounts },
      env: [{ name: "CA", value: "/etc/web/ca/ca.crt" }],
    });
    const volumes = join(dir, "pod", "volumes");
    expect(command).toEqual(["web", `--config=${volumes}/config/config.yaml`, "/etc/webber"]);
    expect(env).toEqual({ CA: `${volumes}/ca/ca.crt` });
    const file = await readFile(join(volumes, "config", "config.yaml"), "utf8");
    expect(file).toBe(`caFile: ${volumes}/ca/ca.crt\nother: /etc/webber\n`);
  });

  test("a Secret's files are its bytes, for the owner alone", async () => {
    await run({ volumeMounts: mounts });
    const path = join(dir, "pod", "volumes", "ca", "ca.crt");
    expect(await readFile(path, "utf8")).toBe("CERT /etc/web");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("variables come from values, Secrets, ConfigMaps and the pod itself", async () => {
    const from = (name: string, valueFrom: object) => ({ name, valueFrom });
    const { env } = await run({
      env: [
        { name: "A", value: "a" },
        from("B", { secretKeyRef: { name: "ca", key: "ca.crt" } }),
        from("C", { configMapKeyRef: { name: "none", key: "x", optional: true } }),
        from("D", { fieldRef: { fieldPath: "metadata.uid" } }),
        from("E", { fieldRef: { fieldPath: "metadata.labels['app.kubernetes.io/name']" } }),
      ],
    });
    expect(env).toEqual({ A: "a", B: "CERT /etc/web", D: "u1", E: "web" });
  });

  test.for([
    {
      name: "a missing Secret",
      valueFrom: { secretKeyRef: { name: "none", key: "x" } },
      message: "Secret none does not exist",
    },
    { name: "a missing key", valueFrom: { secretKeyRef: { name: "ca", key: "x" } }, message: "Secret ca has no key x" },
    {
      name: "an unknown field",
      valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } },
      message: "spec.nodeName is not known",
    },
  ])("$name is waited for by name", async ({ valueFrom, message }) => {
    await expect(run({ env: [{ name: "A", valueFrom }] })).rejects.toThrow(message);
  });

  test.for([
    { text: "/etc/web", want: "/x" },
    { text: "/etc/web/a", want: "/x/a" },
    { text: "file:///etc/web", want: "file:///etc/web" },
    { text: "/my/etc/web", want: "/my/etc/web" },
    { text: "/etc/web.bak", want: "/etc/web.bak" },
    { text: '"/etc/web","/etc/web/b"', want: '"/x","/x/b"' },
  ])("rewrites $text to $want", ({ text, want }) => {
    expect(rewrite(text, [{ path: "/etc/web", folder: "/x" }])).toBe(want);
  });
});
