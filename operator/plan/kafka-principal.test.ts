import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { desiredRights, type KafkaAcl, type KafkaPrincipal, principalNames } from "../desired/kafka-principal.ts";
import { type ObservedPrincipal, planPrincipal } from "./kafka-principal.ts";

const principal: KafkaPrincipal = {
  username: "audit-pipeline.c.team-a.payments",
  acls: desiredRights({
    topicName: "team-a.payments",
    deadLetterTopic: "team-a.payments.dlq",
    consumerGroups: ["audit-pipeline.team-a.payments.ledger"],
  }),
};

const anyAcl: fc.Arbitrary<KafkaAcl> = fc.oneof(
  fc.constantFrom(...principal.acls),
  fc.record({
    resource: fc.constantFrom("TOPIC", "GROUP", "CLUSTER"),
    name: fc.constantFrom("team-a.payments", "team-b.orders", "*"),
    pattern: fc.constantFrom("LITERAL", "PREFIXED"),
    operation: fc.constantFrom("READ", "WRITE", "ALL"),
    permission: fc.constantFrom("ALLOW", "DENY"),
    host: fc.constantFrom("*", "10.0.0.1"),
  }),
);
const anyObserved: fc.Arbitrary<ObservedPrincipal> = fc.record({
  hasPassword: fc.boolean(),
  acls: fc.uniqueArray(anyAcl, { selector: (acl) => JSON.stringify(acl) }),
});

/** What a cluster is like after the plan. */
function after(desired: KafkaPrincipal, observed: ObservedPrincipal): ObservedPrincipal {
  const same = (a: KafkaAcl) => (b: KafkaAcl) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
  return planPrincipal(desired, observed).reduce<ObservedPrincipal>((state, action) => {
    if (action.kind === "SetPassword") return { ...state, hasPassword: true };
    if (action.kind === "AddAcls") return { ...state, acls: [...state.acls, ...action.acls] };
    return { ...state, acls: state.acls.filter((acl) => !action.acls.some(same(acl))) };
  }, observed);
}
const sorted = ({ resource, name, pattern, operation, permission, host }: KafkaAcl) => [
  resource,
  name,
  pattern,
  operation,
  permission,
  host,
];
const texts = (acls: readonly KafkaAcl[]) => acls.map((acl) => JSON.stringify(sorted(acl))).toSorted();

describe("planPrincipal", () => {
  test("brings any user to exactly the rights it must have, and then wants nothing", () => {
    fc.assert(
      fc.property(anyObserved, (observed) => {
        const state = after(principal, observed);
        expect(texts(state.acls)).toEqual(texts(principal.acls));
        expect(state.hasPassword).toBe(true);
        expect(planPrincipal(principal, state)).toEqual([]);
      }),
    );
  });

  test("gives the rights before the password that uses them", () => {
    const kinds = planPrincipal(principal, { hasPassword: false, acls: [] }).map(({ kind }) => kind);
    expect(kinds).toEqual(["AddAcls", "SetPassword"]);
  });
});

describe("a pipeline's user", () => {
  test("allows single objects by name, and only what a sink does", () => {
    expect(principal.acls.map(({ operation, resource, name }) => `${operation} ${resource} ${name}`)).toEqual([
      "READ TOPIC team-a.payments",
      "DESCRIBE TOPIC team-a.payments",
      "WRITE TOPIC team-a.payments.dlq",
      "DESCRIBE TOPIC team-a.payments.dlq",
      "READ GROUP audit-pipeline.team-a.payments.ledger",
    ]);
    for (const acl of principal.acls) expect(acl).toMatchObject({ pattern: "LITERAL", permission: "ALLOW", host: "*" });
  });

  test("never gives two pipelines one user", () => {
    const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/);
    const owner = fc.record({
      clusterId: fc.string({ minLength: 1, maxLength: 63 }),
      pipeline: fc.record({ namespace: label, name: label }),
    });
    const dotted = fc.record({
      clusterId: fc.stringMatching(/^[a-b.]{1,5}$/),
      pipeline: fc.record({ namespace: fc.constantFrom("a", "b"), name: fc.constantFrom("a", "b") }),
    });
    fc.assert(
      fc.property(fc.oneof(owner, dotted), fc.oneof(owner, dotted), (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        const names = [...principalNames(a), ...principalNames(b)];
        expect(new Set(names).size).toBe(4);
        for (const name of names) expect(name).toMatch(/^[A-Za-z0-9._~-]{1,249}$/);
      }),
    );
  });
});
