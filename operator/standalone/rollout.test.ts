import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planRollout, templateHash } from "./rollout.ts";
import { type Deployment, type Pod, templateHashLabel } from "./workload-types.ts";

const meta = (name: string) => ({
  ...{ name, namespace: "n", uid: name, resourceVersion: "1", generation: 1 },
  creationTimestamp: "2026-01-01T00:00:00Z",
});

function deployment(replicas: number, strategy?: Deployment["spec"]["strategy"], value = "1"): Deployment {
  const template = { spec: { containers: [{ name: "main", env: [{ name: "V", value }] }] } };
  return {
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: meta("web") },
    spec: { replicas, template, ...(strategy && { strategy }) },
  };
}

const rolling = (maxSurge: number | string, maxUnavailable: number | string) => ({
  ...{ type: "RollingUpdate" as const, rollingUpdate: { maxSurge, maxUnavailable } },
});

const ready = (status: "True" | "False") => ({
  ...{ phase: "Running" as const, startTime: "", containerStatuses: [] },
  conditions: [{ type: "Ready", status, reason: "", message: "", lastTransitionTime: "" }],
});

const pod = (name: string, of: Deployment, isReady: boolean, deleting = false): Pod => ({
  ...{ apiVersion: "v1", kind: "Pod", spec: of.spec.template.spec, status: ready(isReady ? "True" : "False") },
  metadata: {
    ...{ ...meta(name), labels: { [templateHashLabel]: templateHash(of) } },
    ...(deleting && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
  },
});

const names = (pods: Pod[]) => pods.map(({ metadata }) => metadata.name).toSorted();

describe("planRollout", () => {
  const [surge, stop] = [rolling(1, 0), rolling(0, 1)];
  const [old, next] = [deployment(2, surge, "old"), deployment(2, surge)];

  test.for([
    { name: "makes what is missing", of: next, pods: [pod("a", next, true)], want: { create: 1, remove: [] } },
    {
      name: "leaves what is there",
      of: next,
      pods: [pod("a", next, true), pod("b", next, false)],
      want: { create: 0, remove: [] },
    },
    {
      name: "removes what is too many, unready first",
      of: deployment(1),
      pods: [pod("a", deployment(1), true), pod("b", deployment(1), false)],
      want: { create: 0, remove: ["b"] },
    },
    {
      name: "surge: a new one is made before an old one goes",
      of: next,
      pods: [pod("a", old, true), pod("b", old, true)],
      want: { create: 1, remove: [] },
    },
    {
      name: "surge: an old one goes when the new one is ready",
      of: next,
      pods: [pod("a", old, true), pod("b", old, true), pod("c", next, true)],
      want: { create: 0, remove: ["a"] },
    },
    {
      name: "stop first: an old one goes before a new one is made",
      of: { ...next, spec: { ...next.spec, strategy: stop } },
      pods: [pod("a", old, true), pod("b", old, true)],
      want: { create: 0, remove: ["a"] },
    },
    {
      name: "stop first: no second one goes while the new one is not ready",
      of: { ...next, spec: { ...next.spec, strategy: stop } },
      pods: [pod("a", old, true), pod("c", next, false)],
      want: { create: 0, remove: [] },
    },
    {
      name: "an old one that is not ready goes at once",
      of: next,
      pods: [pod("a", old, false), pod("b", old, false)],
      want: { create: 1, remove: ["a", "b"] },
    },
    {
      name: "neither surge nor unavailable allowed: one may be missing, or it would never move",
      of: { ...next, spec: { ...next.spec, strategy: rolling(0, 0) } },
      pods: [pod("a", old, true), pod("b", old, true)],
      want: { create: 0, remove: ["a"] },
    },
    {
      name: "Recreate: nothing is made while one of the old is there, going ones too",
      of: { ...next, spec: { ...next.spec, strategy: { type: "Recreate" as const } } },
      pods: [pod("a", old, true), pod("b", old, true, true)],
      want: { create: 0, remove: ["a"] },
    },
    { name: "to zero", of: deployment(0), pods: [pod("a", deployment(0), true)], want: { create: 0, remove: ["a"] } },
    {
      name: "one that is going is not counted",
      of: next,
      pods: [pod("a", next, true, true)],
      want: { create: 2, remove: [] },
    },
  ])("$name", ({ of, pods, want }) => {
    const { create, remove } = planRollout(of, pods);
    expect({ create, remove: names(remove) }).toEqual(want);
  });

  test("from any state, with pods that become ready, it ends at the wanted pods within its limits", () => {
    const limit = fc.integer({ min: 0, max: 3 });
    const states = fc.array(fc.record({ isOld: fc.boolean(), isReady: fc.boolean() }), { maxLength: 8 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5 }),
        limit,
        limit,
        states,
        (replicas, maxSurge, maxUnavailable, initial) => {
          const of = deployment(replicas, rolling(maxSurge, maxUnavailable));
          const before = deployment(replicas, rolling(maxSurge, maxUnavailable), "old");
          let pods = initial.map(({ isOld, isReady }, index) => pod(`p${index}`, isOld ? before : of, isReady));
          let readyBefore = pods.filter((one) => isReadyNow(one)).length;
          for (let step = 0; step < 50; step += 1) {
            const { create, remove } = planRollout(of, pods);
            if (create === 0 && remove.length === 0 && pods.every(isReadyNow)) break;
            const left = pods.filter((one) => !remove.includes(one));
            const floor = Math.min(readyBefore, replicas - (maxSurge + maxUnavailable === 0 ? 1 : maxUnavailable));
            expect(left.filter(isReadyNow).length).toBeGreaterThanOrEqual(floor);
            if (create > 0) expect(pods.length + create).toBeLessThanOrEqual(replicas + maxSurge);
            const made = Array.from({ length: create }, (_, index) => pod(`s${step}-${index}`, of, false));
            pods = [...left.map((one) => ({ ...one, status: ready("True") })), ...made];
            readyBefore = pods.filter((one) => isReadyNow(one)).length;
          }
          expect(pods.map(({ metadata }) => metadata.labels?.[templateHashLabel])).toEqual(
            Array.from({ length: replicas }, () => templateHash(of)),
          );
        },
      ),
    );
  });

  test("the hash is of the content, not of the order of its members", () => {
    const one = deployment(1);
    const { containers } = one.spec.template.spec;
    const turned = {
      ...one,
      spec: { template: { spec: { containers: containers.map((c) => ({ env: c.env, name: c.name })) } } },
    };
    expect(templateHash(turned as Deployment)).toBe(templateHash(one));
    expect(templateHash(deployment(1, undefined, "2"))).not.toBe(templateHash(one));
    expect(templateHash(deployment(9))).toBe(templateHash(one));
  });
});

const isReadyNow = ({ status }: Pod) => status?.conditions[0]?.status === "True";
