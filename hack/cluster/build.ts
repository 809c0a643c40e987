import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, installOnce } from "../servers/cache.ts";
import { ensureGo } from "./prerequisites.ts";

/** What a cluster is made of, and the Go package of each: all from the module proxy, none from a download site. */
const components = {
  etcd: "./etcd",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubelet: "k8s.io/kubernetes/cmd/kubelet",
  "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  pause: "./pause",
} as const;

export type Component = keyof typeof components;

const modules = join(import.meta.dirname, "go");
const read = (name: string) => readFileSync(join(modules, name), "utf8");

/** The Kubernetes release that is built. */
export const kubernetesVersion = /k8s\.io\/kubernetes (v[\d.]+)/.exec(read("go.mod"))?.[1] ?? "unknown";

const PROGRESS_MS = 10_000;

/**
 * The program, built the first time anybody asks for it: 12 minutes of one core for the API server, seconds to three
 * minutes for the others; with Go's build cache warm, seconds. Kept beside the other downloads of this user.
 */
export async function component(name: Component): Promise<string> {
  const key = createHash("sha256").update(read("go.sum")).update(read("etcd/main.go")).digest("hex").slice(0, 8);
  const folder = join(cacheFolder(), `kubernetes-${kubernetesVersion}-${key}`, name);
  await installOnce(folder, (temporary) => build(name, join(temporary, name)));
  return join(folder, name);
}

async function build(name: Component, output: string): Promise<void> {
  ensureGo();
  const [major = "", minor = ""] = kubernetesVersion.slice(1).split(".");
  const stamp = { gitVersion: kubernetesVersion, gitMajor: major, gitMinor: minor, gitTreeState: "clean" };
  const stamps = Object.entries(stamp).map(([field, value]) => `-X k8s.io/component-base/version.${field}=${value}`);
  const flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", ["-s -w", ...stamps].join(" ")];
  const child = spawn("go", ["build", ...flags, "-o", output, components[name]], {
    cwd: modules,
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GOWORK: "off" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await finished(child, name);
}

/** Resolves when the build succeeded; says every ten seconds that it goes on. */
function finished(child: ChildProcess, name: Component): Promise<void> {
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const progress = setInterval(() => process.stderr.write(`Building ${name} ... ${seconds()} s\n`), PROGRESS_MS);
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4_000)));
  return new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      process.stderr.write(code === 0 ? `Built ${name} in ${seconds()} s\n` : "");
      if (code === 0) resolve();
      else reject(new Error(`go build of ${name} ended with ${code}: ${said.trimEnd()}`));
    });
  }).finally(() => clearInterval(progress));
}

/** Every program that a cluster runs, one after the other: each build uses all cores. */
export async function buildComponents(): Promise<string[]> {
  const paths: string[] = [];
  for (const name of Object.keys(components) as Component[]) paths.push(await component(name));
  return paths;
}

if (process.argv[1] === import.meta.filename) process.stdout.write(`${(await buildComponents()).join("\n")}\n`);
