import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { validateResource } from "./validate.ts";

const topic = (spec: unknown, more: object = {}) => ({
  apiVersion: "auditpipeline.io/v1alpha1",
  kind: "AuditTopic",
  metadata: { name: "payments", namespace: "team-a" },
  spec,
  ...more,
});
const pipeline = (spec: unknown) => ({ ...topic(spec), kind: "AuditPipeline" });
const SINKS = [{ name: "ledger", postgres: {} }];

function valueOf(object: unknown, old?: unknown) {
  const validation = validateResource(object, old);
  if (!validation.ok) throw new Error(validation.causes.map(({ message }) => message).join("\n"));
  return validation.value;
}

function messagesOf(object: unknown, old?: unknown): string[] {
  const validation = validateResource(object, old);
  return validation.ok ? [] : validation.causes.map(({ message }) => message);
}

describe("validateResource", () => {
  test("fills in every default of a topic", () => {
    expect(valueOf(topic({})).spec).toEqual({
      kafka: {},
      partitions: 12,
      managementPolicy: "Manage",
      adoptionPolicy: "Never",
      driftPolicy: "Correct",
      retention: { time: "168h" },
      compressionType: "Producer",
      maxMessageSize: "1Mi",
      deadLetter: { enabled: true, partitions: 1, retention: { time: "Unlimited" } },
      deletionPolicy: "Retain",
      interval: "2m",
    });
  });

  test("fills in every default of a pipeline", () => {
    expect(valueOf(pipeline({ sinks: SINKS })).spec).toEqual({
      suspend: false,
      kafka: {},
      topic: {},
      sinks: [
        {
          name: "ledger",
          postgres: {
            schema: "audit",
            roles: { reader: { login: false } },
            rotation: { overlap: "24h" },
            partitioning: { precreate: 3 },
          },
          delivery: {
            batchSize: 5_000,
            batchBytes: "8Mi",
            flushInterval: "20ms",
            retry: { initial: "2s", multiplier: 2, max: "5m" },
            circuitBreaker: { failures: 5, openFor: "30s" },
            timeout: "30s",
          },
          adoptionPolicy: "Never",
          driftPolicy: "Correct",
          deletionPolicy: { database: "Retain", roles: "Delete", secrets: "Delete" },
        },
      ],
      workload: { replicas: 1, logLevel: "Info" },
      networkPolicy: { enabled: true },
      events: { profile: "AuditEvent", tenantFrom: "Pipeline", maxSize: "256Ki" },
      deletion: { drain: true, timeout: "10m", onUnreachable: "Block" },
      interval: "5m",
    });
  });

  test("changes nothing when its own answer is validated again, and takes it as an update", () => {
    for (const object of [
      topic({ config: { "segment.ms": null } }),
      pipeline({ sinks: SINKS, topic: { template: {} } }),
    ]) {
      const value = valueOf(object);
      expect(valueOf(value)).toEqual(value);
      expect(valueOf(object, value)).toEqual(value);
    }
  });

  test("does not touch what it is given", () => {
    const object = Object.freeze(topic(Object.freeze({ partitions: null })));
    expect(valueOf(object).spec).toMatchObject({ partitions: 12 });
    expect(object.spec).toEqual({ partitions: null });
  });

  test("drops null where a value may not be null, and keeps it in config", () => {
    const { spec } = valueOf(topic({ retention: null, replicationFactor: null, config: { "segment.ms": null } }));
    expect(spec).toMatchObject({ retention: { time: "168h" }, config: { "segment.ms": null } });
    expect(spec).not.toHaveProperty("replicationFactor");
  });

  test("drops a manifest's status unseen", () => {
    expect(valueOf(topic({}, { status: { topicId: 1, unknown: true } }))).not.toHaveProperty("status");
  });

  test("says all that is wrong at once", () => {
    expect(messagesOf(pipeline({ sinks: [{ name: "Ledger", postgres: { database: 1 } }], topic: "x" }))).toEqual([
      'spec.topic: found "x"; must be an object',
      'spec.sinks[0].name: found "Ledger"; must be lower case letters, digits and -, first and last a letter or digit',
      "spec.sinks[0].postgres.database: found 1; must be a string: put it in quotes",
    ]);
  });

  test.for([
    { wrong: "retenton", right: "retention" },
    { wrong: "min_in_sync_replicas", right: "minInSyncReplicas" },
    { wrong: "Partitions", right: "partitions" },
    { wrong: "deadletter", right: "deadLetter" },
  ])("tells who wrote $wrong to write $right", ({ wrong, right }) => {
    expect(messagesOf(topic({ [wrong]: 1 }))).toEqual([expect.stringMatching(new RegExp(`: write ${right}$`))]);
  });

  test("makes look-alike letters and turned text visible", () => {
    expect(messagesOf(topic({ topicName: "p\u0430y\u202ements" }))[0]).toContain('found "p\\u0430y\\u202ements"');
  });

  test("shortens what is too long to show", () => {
    expect(messagesOf(topic({ topicName: "x".repeat(5_000) }))[0]?.length).toBeLessThan(200);
  });

  test("refuses a field that every JavaScript object has", () => {
    const spec: unknown = JSON.parse('{"__proto__": {"partitions": 1}}');
    expect(messagesOf(topic(spec)).join()).toContain("spec.__proto__: found an unknown field");
    expect(messagesOf(topic({ toString: 1 })).join()).toContain("spec.toString: found an unknown field");
  });

  test("compares with an old object that today's rules refuse", () => {
    const old = topic({ partitions: 24, retired: true });
    expect(messagesOf(topic({ partitions: 6 }), old)).toEqual([expect.stringContaining("found 6, before 24")]);
    expect(messagesOf(topic({ partitions: 24 }), old)).toEqual([]);
  });

  test("lets a finalizer come off an object that today's rules refuse", () => {
    const metadata = { name: "payments", namespace: "team-a", labels: { a: "b" } };
    const old = topic({ partitions: 0, topicName: "__x" });
    expect(messagesOf({ ...old, metadata }, old)).toEqual([]);
    expect(messagesOf({ ...old, metadata: { ...metadata, labels: { a: "b c" } } }, old)).toHaveLength(1);
    expect(messagesOf(topic({ partitions: 0 }), old)).toHaveLength(1);
  });

  test("refuses a change from an old object of another shape that a rule cannot read", () => {
    const old = pipeline({ sinks: SINKS, topic: { template: "none" } });
    expect(messagesOf(pipeline({ sinks: SINKS }), old)).toHaveLength(1);
  });

  test("answers a list that holds itself, and numbers that JSON has not", () => {
    const list: unknown[] = [];
    list.push(list);
    expect(messagesOf(topic({ partitions: list }))).toEqual([expect.stringContaining("must be a whole number")]);
    expect(messagesOf(topic({ partitions: 1n }))).toEqual([expect.stringContaining("must be a whole number")]);
    expect(messagesOf(topic({ partitions: Number.NaN }))).toEqual([expect.stringContaining("must be a whole number")]);
  });

  test("answers anything at all, and throws nothing", () => {
    const anything = fc.oneof(
      fc.anything({ withBigInt: true, withNullPrototype: true }),
      fc.anything().map((spec) => topic(spec)),
      fc.anything().map((spec) => pipeline({ sinks: spec, topic: spec })),
      fc.record({ kind: fc.constantFrom("AuditTopic", "AuditPipeline"), metadata: fc.anything(), spec: fc.anything() }),
    );
    fc.assert(
      fc.property(anything, anything, (object, old) => {
        const validation = validateResource(object, old);
        if (!validation.ok) expect(validation.causes.length).toBeGreaterThan(0);
      }),
      { numRuns: 1_000 },
    );
  });
});
