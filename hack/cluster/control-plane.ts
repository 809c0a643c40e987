import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import { type Authority, type Certificate, newAuthority } from "../servers/certificates.ts";
import { once } from "../servers/once.ts";
import { freePorts } from "../servers/ports.ts";
import type { Lifetime } from "../servers/registry.ts";
import { launch, type Running } from "../servers/server.ts";
import { type Component, component } from "./build.ts";

export interface ControlPlaneOptions {
  /** Data, certificates, logs. A folder with data from before is used as it is. */
  dir: string;
  /** Where the API server listens: loopback, or an address in a network namespace of one's own. */
  address?: string;
  /** Controllers of the controller manager, as its flag takes them: "*" or names. None: it is not started. */
  controllers?: string;
  /** Gives pods a node. Default: none does. */
  scheduler?: boolean;
  lifetime?: Lifetime;
}

export interface ControlPlane {
  readonly server: string;
  /** Of a cluster admin. */
  readonly kubeconfig: string;
  readonly ca: Authority;
  /** Every request, one JSON object a line (audit.k8s.io/v1, level Metadata). */
  readonly auditLog: string;
  /** A kubeconfig for another user of this cluster. */
  kubeconfigFor(user: string, groups?: readonly string[]): string;
  readonly apiServer: Running;
  /** Ends the API server and starts it on the same data and port. */
  restartApiServer(): Promise<void>;
  stop(): Promise<void>;
}

const READY_MS = 120_000;

/** etcd and the API server, and the controllers that are asked for: Kubernetes without a node. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { address = "127.0.0.1", controllers, scheduler: scheduling = false, lifetime = "parent" } = options;
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const [etcdPort = 0, peerPort = 0, port = 0, managerPort = 0, schedulerPort = 0] = await freePorts(5);
  const keys = await identities(dir, address);
  const server = `https://${address}:${port}`;
  const kubeconfigFor = (user: string, groups: readonly string[] = []) =>
    writeKubeconfig(dir, server, keys.ca, user, groups);
  const kubeconfig = kubeconfigFor("admin", ["system:masters"]);

  const etcd = await start("etcd", dir, lifetime, "ready to serve client requests", [
    ...["--data-dir", join(dir, "etcd"), "--unsafe-no-fsync"],
    ...[
      "--listen-client-urls",
      `http://127.0.0.1:${etcdPort}`,
      "--advertise-client-urls",
      `http://127.0.0.1:${etcdPort}`,
    ],
    ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`],
  ]);
  const { certFile, keyFile } = keys.ca.sign("kubelet-client", { subject: "/O=system:masters/CN=kubelet-client" });
  const auditLog = join(dir, "audit.log");
  const startApiServer = async () => {
    const running = await start("kube-apiserver", dir, lifetime, "Serving securely", [
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      ...[`--bind-address=${address}`, `--secure-port=${port}`, "--service-cluster-ip-range=10.96.0.0/16"],
      ...(address === "127.0.0.1" ? ["--endpoint-reconciler-type=none"] : [`--advertise-address=${address}`]),
      ...[`--tls-cert-file=${keys.server.certFile}`, `--tls-private-key-file=${keys.server.keyFile}`],
      ...[`--client-ca-file=${keys.ca.caFile}`, "--authorization-mode=Node,RBAC", "--allow-privileged=false"],
      ...["--service-account-issuer=https://kubernetes.default.svc", `--service-account-key-file=${keys.tokens}`],
      `--service-account-signing-key-file=${keys.tokens}`,
      ...[`--kubelet-client-certificate=${certFile}`, `--kubelet-client-key=${keyFile}`],
      ...[`--kubelet-certificate-authority=${keys.ca.caFile}`, "--kubelet-preferred-address-types=InternalIP"],
      ...[`--audit-policy-file=${keys.auditPolicy}`, `--audit-log-path=${auditLog}`, "--audit-log-mode=blocking"],
    ]);
    await ready(server);
    return running;
  };
  let apiServer = await startApiServer();
  const manager =
    controllers === undefined
      ? undefined
      : await start("kube-controller-manager", dir, lifetime, "Serving securely", [
          ...[`--kubeconfig=${kubeconfig}`, `--authentication-kubeconfig=${kubeconfig}`],
          ...[`--authorization-kubeconfig=${kubeconfig}`, `--controllers=${controllers}`, "--leader-elect=false"],
          ...[`--service-account-private-key-file=${keys.tokens}`, `--root-ca-file=${keys.ca.caFile}`],
          ...["--bind-address=127.0.0.1", `--secure-port=${managerPort}`],
        ]);
  const schedulerKubeconfig = kubeconfigFor("system:kube-scheduler");
  const scheduler = scheduling
    ? await start("kube-scheduler", dir, lifetime, "Serving securely", [
        ...[`--kubeconfig=${schedulerKubeconfig}`, `--authentication-kubeconfig=${schedulerKubeconfig}`],
        ...[`--authorization-kubeconfig=${schedulerKubeconfig}`, "--leader-elect=false"],
        ...["--bind-address=127.0.0.1", `--secure-port=${schedulerPort}`],
      ])
    : undefined;
  return {
    ...{ server, kubeconfig, auditLog, kubeconfigFor, ca: keys.ca },
    get apiServer() {
      return apiServer;
    },
    async restartApiServer() {
      await apiServer.stop();
      apiServer = await startApiServer();
    },
    async stop() {
      for (const running of [scheduler, manager, apiServer, etcd]) await running?.stop();
    },
  };
}

async function start(
  name: Component,
  dir: string,
  lifetime: Lifetime,
  readyLine: string,
  args: string[],
): Promise<Running> {
  const command = await component(name);
  return launch({
    ...{ kind: name, command, args, cwd: dir, logFile: join(dir, `${name}.log`), readyLine, readyWithinMs: READY_MS },
    ...{ stopSignal: "SIGTERM", lifetime, disposable: [] },
  });
}

interface Identities {
  readonly ca: Authority;
  readonly server: Certificate;
  /** Signs service account tokens. */
  readonly tokens: string;
  readonly auditPolicy: string;
}

async function identities(dir: string, address: string): Promise<Identities> {
  const pki = join(dir, "pki");
  mkdirSync(pki, { recursive: true });
  const found = { tokens: join(pki, "tokens.key"), auditPolicy: join(dir, "audit-policy.yaml") };
  const ca = newAuthority(pki, "ca");
  const hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "10.96.0.1"];
  const server = ca.sign("apiserver", { hosts: [...new Set([...hosts, address])] });
  await once(pki, async () => {
    execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", found.tokens]);
  });
  const policy = { apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages: ["RequestReceived"] };
  writeFileSync(found.auditPolicy, stringify({ ...policy, rules: [{ level: "Metadata" }] }));
  return { ...found, ca, server };
}

function writeKubeconfig(dir: string, server: string, ca: Authority, user: string, groups: readonly string[]): string {
  const file = `user-${user.replace(/[^a-z0-9-]/g, "-")}`;
  const subject = `${groups.map((group) => `/O=${group}`).join("")}/CN=${user}`;
  const { certFile, keyFile } = ca.sign(file, { subject });
  const data = (path: string) => readFileSync(path).toString("base64");
  const config = {
    ...{ apiVersion: "v1", kind: "Config", "current-context": "cluster" },
    clusters: [{ name: "cluster", cluster: { server, "certificate-authority-data": data(ca.caFile) } }],
    users: [{ name: user, user: { "client-certificate-data": data(certFile), "client-key-data": data(keyFile) } }],
    contexts: [{ name: "cluster", context: { cluster: "cluster", user } }],
  };
  const path = join(dir, `${file}.kubeconfig`);
  writeFileSync(path, stringify(config), { mode: 0o600 });
  return path;
}

/** Waits until the API server says that every part of it is ready. */
async function ready(server: string): Promise<void> {
  const end = Date.now() + READY_MS;
  while ((await statusOf(`${server}/readyz`)) !== 200) {
    if (Date.now() > end) throw new Error(`The API server at ${server} was not ready after ${READY_MS} ms`);
    await delay(100);
  }
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((done) => {
    // Anybody may ask for it; what it is told is no secret.
    const sent = request(url, { rejectUnauthorized: false, timeout: 5_000 }, (answer) => {
      answer.resume();
      done(answer.statusCode);
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => done(undefined));
    sent.end();
  });
}
