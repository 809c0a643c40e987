import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { auditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sinkConfig } from "../../sink/config.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredSinkConfig } from "./sink-config.ts";
import { CA_FILE, type KafkaAccess, kafkaFiles } from "./sink-files.ts";
import { sinkNames } from "./sink-names.ts";
import { desiredLoginSecret } from "./sink-secret.ts";
import { desiredWorkload } from "./sink-workload.ts";

const pipeline = { namespace: "team-a", name: "payments", uid: "00000000-0000-4000-8000-000000000001" };

interface Over {
  spec?: object;
  credential?: string;
  ca?: string;
  kafka?: KafkaAccess;
  secured?: Pick<KafkaBackend, "tls" | "sasl">;
}

function input({ kafka = {}, secured = {}, ...over }: Over = {}) {
  const spec = auditPipelineSpec.parse({ sinks: [{ name: "ledger", postgres: {} }], ...over.spec });
  const sink = spec.sinks[0];
  if (sink === undefined) throw new Error("one sink");
  const names = sinkNames(pipeline, sink.name);
  const config = desiredSinkConfig({
    pipeline: { namespace: pipeline.namespace, name: pipeline.name },
    spec,
    sink,
    topic: {
      topicName: "team-a.payments",
      topicId: "0b6ad1a0-63ee-4d6d-9ef0-7c4b3c9d9a11",
      deadLetterTopic: "team-a.payments.dlq",
    },
    kafka: { bootstrapServers: ["kafka:9092"], ...secured },
    kafkaAccess: kafkaFiles(kafka),
    postgres: { host: "postgres", port: 5432, sslMode: "VerifyFull" },
    ledger: { database: "team-a_payments", schema: "audit" },
    consumerGroup: names.consumerGroup,
  });
  const { credential = "c1", ca } = over;
  return {
    pipeline,
    spec,
    sink,
    names,
    config,
    credential,
    ca,
    kafka,
    image: "audit-sink:1",
    ports: [9092, 5432, 9092],
  };
}

const login = (fingerprint: string) => ({ name: "payments-kafka", fingerprint, user: true, certificate: true });

const templateOf = (over: Parameters<typeof input>[0]) => {
  const { deployment } = desiredWorkload(input(over));
  return JSON.stringify(deployment.spec.template);
};

describe("desiredWorkload", () => {
  test("renders the smallest pipeline as in the golden file", async () => {
    const text = Object.values(desiredWorkload(input()))
      .map((object) => stringify(object))
      .join("---\n");
    await expect(text).toMatchFileSnapshot("../../test/golden/sink-workload.yaml");
  });

  test("renders where pods run and what is said on them as in the golden file", async () => {
    const workload = {
      imagePullSecrets: [{ name: "registry" }],
      nodeSelector: { disktype: "ssd" },
      tolerations: [{ key: "audit", operator: "Exists" }],
      topologySpreadConstraints: [{ topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "DoNotSchedule" }],
      priorityClassName: "audit",
      podLabels: { team: "payments" },
      podAnnotations: { "example.org/note": "1" },
      resources: { requests: { cpu: "500m" } },
      replicas: 3,
    };
    const kafka = { ca: "PEM", secret: login("f1") };
    const { deployment } = desiredWorkload(input({ spec: { workload }, kafka }));
    await expect(stringify(deployment)).toMatchFileSnapshot("../../test/golden/sink-deployment-placed.yaml");
  });

  test("runs nothing while it is suspended, and keeps all that belongs to it", () => {
    const { deployment, ...rest } = desiredWorkload(input({ spec: { suspend: true, workload: { replicas: 6 } } }));
    expect(deployment.spec.replicas).toBe(0);
    expect(rest).toEqual((({ deployment: _, ...others }) => others)(desiredWorkload(input())));
  });

  test("opens the ports of database and brokers, each once, and makes no policy where none is wanted", () => {
    const { networkPolicy } = desiredWorkload(input());
    expect(networkPolicy?.spec.egress[1]).toEqual({
      ports: [
        { port: 5432, protocol: "TCP" },
        { port: 9092, protocol: "TCP" },
      ],
    });
    expect(desiredWorkload(input({ spec: { networkPolicy: { enabled: false } } }))).not.toHaveProperty("networkPolicy");
  });

  test("lets no label of a user's replace one by which pods are found", () => {
    const podLabels = { team: "a", "app.kubernetes.io/name": "other" };
    const { selector, template } = desiredWorkload(input({ spec: { workload: { podLabels } } })).deployment.spec;
    expect(template.metadata.labels).toMatchObject({ team: "a", ...selector.matchLabels });
  });

  test("renders a configuration that the sink takes, once user and password are added", () => {
    const { config } = input();
    const store = { postgres: { ...config.store.postgres, user: "u", password: "p" } };
    expect(sinkConfig.parse({ ...config, store }).delivery).toMatchObject({
      batchSize: 5000,
      flushInterval: 20,
      batchBytes: 8388608,
    });
  });

  test.for([
    {
      name: "another batch size",
      over: { spec: { sinks: [{ name: "ledger", postgres: {}, delivery: { batchSize: 7 } }] } },
      rolls: true,
    },
    { name: "another password", over: { credential: "c2" }, rolls: true },
    { name: "an authority of the store", over: { ca: "PEM" }, rolls: true },
    { name: "an authority of the brokers", over: { kafka: { ca: "PEM" } }, rolls: true },
    { name: "a login with Kafka", over: { kafka: { secret: login("f1") } }, rolls: true },
    { name: "more replicas", over: { spec: { workload: { replicas: 3 } } }, rolls: false },
    { name: "a label of the pods", over: { spec: { workload: { podLabels: { team: "a" } } } }, rolls: true },
    { name: "a suspension", over: { spec: { suspend: true } }, rolls: false },
    { name: "no network policy", over: { spec: { networkPolicy: { enabled: false } } }, rolls: false },
    { name: "another interval", over: { spec: { interval: "1m" } }, rolls: false },
    {
      name: "another deletion policy",
      over: { spec: { sinks: [{ name: "ledger", postgres: {}, deletionPolicy: { database: "Delete" } }] } },
      rolls: false,
    },
  ])("$name rolls the pods: $rolls", ({ over, rolls }) => {
    expect(templateOf(over) !== templateOf({})).toBe(rolls);
  });

  test("puts the store's authority where the sink is told to look", () => {
    const { configMap, deployment } = desiredWorkload(input({ ca: "PEM" }));
    const [mount] = deployment.spec.template.spec.containers.flatMap(({ volumeMounts }) => volumeMounts);
    expect(configMap.data).toMatchObject({ [CA_FILE.slice(`${mount?.mountPath}/`.length)]: "PEM" });
    expect(desiredWorkload(input()).configMap.data).not.toHaveProperty(["ca.crt"]);
  });

  test("another login with Kafka rolls the pods, the same does not", () => {
    expect(templateOf({ kafka: { secret: login("f2") } })).not.toBe(templateOf({ kafka: { secret: login("f1") } }));
    expect(templateOf({ kafka: { secret: login("f1") } })).toBe(templateOf({ kafka: { secret: login("f1") } }));
  });

  test("gives the sink a login by environment and a certificate by file, where it is told to look", () => {
    const secured = { tls: { serverName: "kafka" }, sasl: { mechanism: "ScramSha512", secretFile: "admin" } } as const;
    const { config, ...rest } = input({ kafka: { ca: "PEM", secret: login("f1") }, secured });
    expect(config.kafka).toEqual({
      bootstrapServers: ["kafka:9092"],
      tls: {
        caFile: "/etc/audit-sink/kafka-ca.crt",
        certFile: "/etc/audit-sink-kafka/tls.crt",
        keyFile: "/etc/audit-sink-kafka/tls.key",
        serverName: "kafka",
      },
      sasl: { mechanism: "ScramSha512" },
    });
    const { configMap, deployment } = desiredWorkload({ config, ...rest });
    expect(configMap.data).toMatchObject({ "kafka-ca.crt": "PEM" });
    expect(deployment.spec.template.spec.volumes).toContainEqual({
      name: "kafka",
      secret: { secretName: "payments-kafka" },
    });
    expect(JSON.stringify(deployment.spec.template.spec.containers)).toContain("AUDIT_SINK__KAFKA__SASL__PASSWORD");
  });

  test("has no password in it", () => {
    expect(JSON.stringify(desiredWorkload(input()))).not.toMatch(/"password":\s*"[^"]/);
  });
});

describe("desiredLoginSecret", () => {
  const login = (policy: "Retain" | "Delete") =>
    desiredLoginSecret({
      pipeline,
      sink: "ledger",
      secret: "payments-ledger-writer",
      server: { host: "db", port: 5433, sslMode: "VerifyCa" },
      database: "team-a_payments",
      username: "team-a_payments_writer",
      password: "p@ss/word",
      policy,
    });

  test("holds the fields and a URI that says the same", () => {
    const data = Object.fromEntries(
      Object.entries(login("Delete").data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
    );
    const uri = new URL(data["uri"] ?? "");
    expect(data).toMatchObject({ host: "db", port: "5433", dbname: "team-a_payments", sslmode: "verify-ca" });
    expect([uri.hostname, uri.port, decodeURIComponent(uri.password), uri.pathname]).toEqual([
      "db",
      "5433",
      "p@ss/word",
      "/team-a_payments",
    ]);
  });

  test("is left to garbage collection only where the policy says Delete", () => {
    expect(login("Delete").metadata).toHaveProperty("ownerReferences");
    expect(login("Retain").metadata).not.toHaveProperty("ownerReferences");
  });
});
