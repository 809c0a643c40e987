import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadOperatorConfig, type OperatorConfig } from "../../operator/config.ts";
import { chart, find, helm, type Manifest, renderChart, SYSTEM, values } from "./tools.ts";

const kafka = { bootstrapServers: ["kafka-1:9092", "kafka-2:9093"] };
const postgres = { host: "db", adminSecretRef: { name: "admin" } };
const both = { backends: { kafka: { default: kafka }, postgres: { default: postgres } } };

/** As the operator reads what the chart wrote for it. */
function configOf(rendered: readonly Manifest[]): OperatorConfig {
  const { "config.yaml": text } = find(rendered, "ConfigMap")["data"] as Record<string, string>;
  const folder = mkdtempSync(join(tmpdir(), "chart-config-"));
  try {
    writeFileSync(join(folder, "config.yaml"), text ?? "");
    return loadOperatorConfig(join(folder, "config.yaml"), {}, { clusterId: "from-kube-system" });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface PodSpec {
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
  readonly containers: readonly [
    { readonly image: string; readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[] },
  ];
}

const podOf = (rendered: readonly Manifest[]) =>
  (find(rendered, "Deployment")["spec"] as { template: { spec: PodSpec; metadata: Manifest["metadata"] } }).template;

/** Mount path → Secret, as the operator's container finds them. */
function secretsOf(rendered: readonly Manifest[]): Record<string, string | undefined> {
  const { volumes, containers } = podOf(rendered).spec;
  return Object.fromEntries(
    containers[0].volumeMounts.map(({ name, mountPath }) => [
      mountPath,
      volumes.find((volume) => volume.name === name)?.secret?.secretName,
    ]),
  );
}

const keys = (rendered: readonly Manifest[], ...kinds: string[]) =>
  rendered
    .filter(({ kind }) => kinds.includes(kind))
    .map(
      ({ kind, metadata: { namespace, name } }) => `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`,
    )
    .sort();

describe("helm lint", () => {
  it.for([[], ["--values", join(chart, "values-minimal.yaml")]])(
    "finds nothing to say about the chart %s",
    async (args) => {
      expect(await helm("lint", "--strict", chart, ...args)).toContain("0 chart(s) failed");
    },
  );
});

describe("the operator's configuration", () => {
  it("is one the operator takes, when nothing is said", async () => {
    const config = configOf(await renderChart());
    expect(config).toMatchObject({ clusterId: "from-kube-system", namespace: SYSTEM, watchNamespaces: [] });
    expect(config.sink.image).toBe("audit-sink:0.1.0");
  });

  it("holds every setting of a back-end, with its Secrets as files of the pod", async () => {
    const rendered = await renderChart(
      ...values({
        config: { clusterId: "prod-1", inlineConnections: "Allow", inlineAllowedCidrs: ["10.0.0.0/8"], concurrency: 8 },
        sinkImage: { registry: "registry.example.com/audit/", digest: `sha256:${"a".repeat(64)}` },
        backends: {
          kafka: {
            secured: {
              ...{
                bootstrapServers: "kafka-1:9092, kafka-2:9092",
                namePrefix: "audit.{namespace}.",
                replicationFactor: 3,
              },
              tls: { caSecretRef: { name: "a" }, clientCertificateSecretRef: { name: "b" }, serverName: "kafka" },
              sasl: { mechanism: "ScramSha512", secretRef: { name: "c" } },
              ...{ clientSecretRef: { name: "d" }, allowedNamespaces: ["team-a"], maxPartitions: 7 },
              grants: [{ namespace: "team-a", names: ["orders"], verbs: ["Observe"] }],
            },
            open: { bootstrapServers: ["kafka-3:9092"], tls: { enabled: false, caSecretRef: { name: "a" } } },
          },
          postgres: {
            own: {
              ...{
                host: "db",
                port: 5433,
                sslMode: "VerifyCa",
                caSecretRef: { name: "e" },
                adminSecretRef: { name: "f" },
              },
              ...{ maintenanceDatabase: "admin", namePrefix: "audit_{namespace}_", allowedNamespaces: ["team-a"] },
              ...{ allowDelete: false, allowAdoption: false },
            },
          },
        },
      }),
    );
    const config = configOf(rendered);
    const secrets = "/etc/audit-pipeline-secrets";
    expect(config).toMatchObject({ clusterId: "prod-1", inlineConnections: "Allow", concurrency: 8 });
    expect(config.sink.image).toBe(`registry.example.com/audit/audit-sink@sha256:${"a".repeat(64)}`);
    expect(config.backends.kafka.map(({ name, tls }) => [name, tls !== undefined])).toEqual([
      ["open", false],
      ["secured", true],
    ]);
    expect(config.backends.kafka[1]).toEqual({
      ...{ name: "secured", bootstrapServers: ["kafka-1:9092", "kafka-2:9092"], namePrefix: "audit.{namespace}." },
      tls: {
        caFile: `${secrets}/kafka-secured-ca/ca.crt`,
        certFile: `${secrets}/kafka-secured-certificate/tls.crt`,
        keyFile: `${secrets}/kafka-secured-certificate/tls.key`,
        serverName: "kafka",
      },
      sasl: { mechanism: "ScramSha512", secretFile: `${secrets}/kafka-secured-sasl` },
      clientSecretFile: `${secrets}/kafka-secured-client`,
      ...{ allowedNamespaces: ["team-a"], replicationFactor: 3, maxPartitions: 7 },
      grants: [{ namespace: "team-a", names: ["orders"], verbs: ["Observe"] }],
    });
    expect(config.backends.postgres).toEqual([
      {
        ...{ name: "own", host: "db", port: 5433, sslMode: "VerifyCa", caFile: `${secrets}/postgres-own-ca/ca.crt` },
        ...{ adminSecretFile: `${secrets}/postgres-own-admin`, maintenanceDatabase: "admin", allowDelete: false },
        ...{ namePrefix: "audit_{namespace}_", allowedNamespaces: ["team-a"], allowAdoption: false },
      },
    ]);
    expect(secretsOf(rendered)).toMatchObject({
      [`${secrets}/kafka-secured-ca`]: "a",
      [`${secrets}/kafka-secured-certificate`]: "b",
      [`${secrets}/kafka-secured-sasl`]: "c",
      [`${secrets}/kafka-secured-client`]: "d",
      [`${secrets}/postgres-own-ca`]: "e",
      [`${secrets}/postgres-own-admin`]: "f",
    });
  });

  it("restarts the operator when it changes, and only then", async () => {
    const checksum = async (more: object) =>
      podOf(await renderChart(...values({ ...both, ...more }))).metadata.annotations?.["checksum/config"];
    const before = await checksum({});
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    expect(await checksum({ commonLabels: { team: "audit" } })).toBe(before);
    expect(await checksum({ config: { logLevel: "debug" } })).not.toBe(before);
  });
});

describe("values that cannot work", () => {
  it.for<[string, object, string]>([
    ["a name nobody knows", { replicas: 2 }, "additional properties 'replicas' not allowed"],
    ["a back-end without servers", { backends: { kafka: { default: {} } } }, "missing property 'bootstrapServers'"],
    [
      "a broker without a port",
      { backends: { kafka: { default: { bootstrapServers: ["kafka"] } } } },
      "does not match pattern",
    ],
    [
      "a database without a login",
      { backends: { postgres: { default: { host: "db" } } } },
      "missing property 'adminSecretRef'",
    ],
    [
      "a password in the values",
      { backends: { postgres: { default: { ...postgres, password: "x" } } } },
      "not allowed",
    ],
    ["a log level in capitals", { config: { logLevel: "INFO" } }, "value must be one of"],
  ])("are refused by name: %s", async ([, wrong, says]) => {
    await expect(renderChart(...values(wrong))).rejects.toThrow(says);
  });
});

describe("rights", () => {
  it("are a ClusterRole where all namespaces are watched", async () => {
    expect(
      keys(
        await renderChart("--set", "rbac.userRoles=false"),
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
      ),
    ).toEqual([
      "ClusterRole audit-pipeline-operator",
      "ClusterRoleBinding audit-pipeline-operator",
      `Role ${SYSTEM}/audit-pipeline-operator`,
      `RoleBinding ${SYSTEM}/audit-pipeline-operator`,
    ]);
  });

  it("are Roles in the namespaces that are watched, and of the cluster no more than its uid", async () => {
    const rendered = await renderChart(
      ...values({ watchNamespaces: ["team-a", "team-b"], rbac: { userRoles: false } }),
    );
    expect(keys(rendered, "Role", "ClusterRole")).toEqual([
      "ClusterRole audit-pipeline-operator",
      `Role ${SYSTEM}/audit-pipeline-operator`,
      "Role team-a/audit-pipeline-operator-resources",
      "Role team-b/audit-pipeline-operator-resources",
    ]);
    expect(find(rendered, "ClusterRole")["rules"]).toEqual([
      { apiGroups: [""], resources: ["namespaces"], resourceNames: ["kube-system"], verbs: ["get"] },
    ]);
    expect(configOf(rendered).watchNamespaces).toEqual(["team-a", "team-b"]);
  });

  it("are none of the cluster's, where the configuration says the cluster's id", async () => {
    const said = { watchNamespaces: ["team-a"], config: { clusterId: "prod-1" }, rbac: { userRoles: false } };
    expect(keys(await renderChart(...values(said)), "ClusterRole", "ClusterRoleBinding")).toEqual([]);
  });
});

describe("options", () => {
  it("keep the definitions when the release goes, unless told otherwise", async () => {
    const policies = async (...args: string[]) =>
      (await renderChart(...args))
        .filter(({ kind }) => kind === "CustomResourceDefinition")
        .map(({ metadata }) => metadata.annotations?.["helm.sh/resource-policy"]);
    expect(await policies()).toEqual(["keep", "keep"]);
    expect(await policies("--set", "crds.keep=false")).toEqual([undefined, undefined]);
    expect(await policies("--set", "crds.install=false")).toEqual([]);
  });

  it("do not guard definitions that helm itself is to delete", async () => {
    const rendered = await renderChart("--set", "crds.keep=false");
    expect(keys(rendered, "ValidatingAdmissionPolicy").some((key) => key.endsWith("-crds"))).toBe(false);
  });

  it("let a restricted operator reach the ports of its back-ends", async () => {
    const rendered = await renderChart(
      ...values({ ...both, networkPolicy: { egress: { restrict: true, ports: [9094] } } }),
    );
    const { egress } = find(rendered, "NetworkPolicy")["spec"] as { egress: { ports: { port: number }[] }[] };
    expect(egress[0]?.ports.map(({ port }) => port)).toEqual([53, 53, 443, 6443, 9092, 9093, 5432, 9094]);
  });

  it("disrupt one of several operators at a time", async () => {
    expect(keys(await renderChart(), "PodDisruptionBudget")).toEqual([]);
    expect(keys(await renderChart("--set", "replicaCount=2"), "PodDisruptionBudget")).toHaveLength(1);
  });

  it("give names that two releases do not share", async () => {
    const other = await helm("template", "second", chart, "--namespace", SYSTEM, "--set", "crds.install=false");
    expect(other).toContain("name: second-audit-pipeline-operator");
    expect(other).not.toMatch(/^ {2}name: audit-pipeline-/m);
  });
});
