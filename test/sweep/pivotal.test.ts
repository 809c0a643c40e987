import { randomBytes } from "node:crypto";
import { describe, test } from "vitest";
import { sharedServers } from "../support/servers.ts";
import type { Phase } from "./life.ts";
import { scenarios } from "./scenarios.ts";
import { killedRun, referenceRun } from "./sweep.ts";

/** The points at which operators of this kind have failed: between a create and the note of whose it is, and the like. */
const pivotal: Readonly<Record<string, readonly (readonly [Phase, RegExp])[]>> = {
  create: [
    ["answer-lost", /^apply Secret/],
    ["before-send", /^COMMENT ON ROLE "NS_audit_owner"/],
    ["answer-lost", /^CREATE DATABASE/],
    ["answered", /^CREATE SCHEMA/],
    ["answer-lost", /^CreateTopics NS.audit$/],
    ["answer-lost", /^CreateTopics NS.audit.dlq$/],
  ],
  "create-then-delete": [
    ["answered", /^update AuditPipeline/],
    ["answer-lost", /^apply ConfigMap/],
    ["answer-lost", /^CREATE DATABASE/],
    ["answer-lost", /^CreateTopics NS.audit$/],
  ],
  "delete-all": [
    ["answer-lost", /^DROP DATABASE/],
    ["answer-lost", /^delete ConfigMap/],
    ["answer-lost", /^DeleteTopics NS.audit$/],
    ["answer-lost", /^update AuditTopic/],
  ],
};

const { kafka, postgres18: postgres } = sharedServers();
const [host = "", port = ""] = (kafka.bootstrapServers[0] ?? "").split(":");
const servers = { kafka: { host, port: Number(port) }, postgres };
const newNamespace = () => `s${randomBytes(4).toString("hex")}`;
const chosen = scenarios.filter(({ name }) => name in pivotal);

describe.concurrent("an operator killed where it hurts most", () => {
  test.for(chosen)("$name ends as if it had not been killed", { timeout: 180_000 }, async (scenario, { expect }) => {
    const reference = await referenceRun(servers, scenario, newNamespace());
    for (const [phase, at] of pivotal[scenario.name] ?? []) {
      const call = reference.calls.findIndex(({ what }) => at.test(what)) + 1;
      expect(call, String(at)).toBeGreaterThan(0);
      const { killed, problems } = await killedRun(servers, reference, { call, phase }, newNamespace());
      expect({ killed, problems }, `${phase} ${at}`).toEqual({ killed: true, problems: [] });
    }
  });
});
