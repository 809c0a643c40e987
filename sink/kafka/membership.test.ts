import { crc32c } from "@platformatic/kafka";
import { expect, onTestFinished, test } from "vitest";
import { GroupMembership } from "./membership.ts";
import { ConnectionError, type JoinRequest, type KafkaProtocol, type SyncRequest } from "./protocol.ts";

const unused = (): never => {
  throw new Error("not part of membership");
};

/** Takes the one member in, and then answers no heartbeat. */
const coordinator: KafkaProtocol = {
  findCoordinator: async () => ({ nodeId: 1, host: "h", port: 1 }),
  joinGroup: async (_broker: unknown, { memberId, subscription }: JoinRequest) => ({
    errorCode: 0,
    generationId: 1,
    memberId: memberId || "m",
    leader: "m",
    members: [{ memberId: "m", subscription }],
  }),
  syncGroup: async (_broker: unknown, { assignments }: SyncRequest) => assignments[0]?.assignment ?? Buffer.alloc(0),
  heartbeat: async () => {
    throw new ConnectionError("no answer");
  },
  leaveGroup: async () => undefined,
  metadata: unused,
  commitOffsets: unused,
  fetch: unused,
  offsetRange: unused,
  produce: unused,
  topicSetting: unused,
  decompress: unused,
  crc32c,
  close: unused,
};

test("is lost when the session has run out, and not a heartbeat interval later", async () => {
  const times = { sessionTimeoutMs: 500, rebalanceTimeoutMs: 1_000, heartbeatIntervalMs: 450 };
  const options = { topic: "t", groupId: "g", maxBytes: 1, maxBytesPerPartition: 1, ...times };
  const lost = Promise.withResolvers<number>();
  const handlers = {
    assigned: async () => undefined,
    revoked: async () => undefined,
    lost: () => lost.resolve(performance.now()),
  };
  const membership = new GroupMembership(coordinator, options, handlers, () => 1);
  onTestFinished(() => membership.leave());
  await membership.join();
  const lastMs = membership.lastHeartbeatMs;
  const silentMs = (await lost.promise) - lastMs;
  expect(silentMs).toBeGreaterThanOrEqual(500);
  expect(silentMs).toBeLessThan(850);
});
