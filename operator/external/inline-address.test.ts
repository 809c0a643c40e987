import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { allowedAddress, GuardedSocket, guardedLookup, isForbidden } from "./inline-address.ts";

describe("isForbidden", () => {
  test.for([
    ...["127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1", "224.0.0.1", "255.255.255.255"],
    ...["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::"],
    ...["100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
  ])("%s", (address) => {
    expect(isForbidden(address, [])).toBe(true);
  });

  test.for(["10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "2001:db8::1", "fd12::1", "::ffff:10.0.0.1"])(
    "not %s: a cluster's own network is where tenants' servers are",
    (address) => {
      expect(isForbidden(address, [])).toBe(false);
    },
  );

  test("what the configuration allows is not", () => {
    expect(isForbidden("127.0.0.1", ["127.0.0.0/8"])).toBe(false);
    expect(isForbidden("169.254.169.254", ["127.0.0.0/8"])).toBe(true);
    expect(isForbidden("::1", ["127.0.0.0/8"])).toBe(true);
  });
});

// All of them are 127.0.0.1 to the system's resolver.
const hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1"];
const closed = { allowedCidrs: [] };

describe("whatever way it is written, loopback is refused, and nothing is dialled", () => {
  test.for(hosts)("%s", async (host) => {
    let met = 0;
    const server = createServer((socket) => {
      met += 1;
      socket.destroy();
    });
    await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const dial = (allowedCidrs: readonly string[]) =>
      new Promise<unknown>((done) => {
        const socket = new GuardedSocket({ allowedCidrs });
        socket.once("connect", () => done("connected")).once("error", done);
        socket.connect(port, host);
      });
    expect(await dial([])).toMatchObject({ name: "WaitingError", reason: "AddressNotAllowed" });
    expect(met).toBe(0);
    expect(await dial(["127.0.0.0/8", "::1/128"])).toBe("connected");
    await expect(allowedAddress(host, closed)).rejects.toMatchObject({ reason: "AddressNotAllowed" });
    server.close();
  });
});

test("a lookup refuses a name by what it stands for, for one address and for all", async () => {
  const look = (all: boolean) =>
    new Promise<unknown>((done) => guardedLookup(closed)("localhost", { all }, (error) => done(error)));
  expect(await look(false)).toMatchObject({ reason: "AddressNotAllowed" });
  expect(await look(true)).toMatchObject({ reason: "AddressNotAllowed" });
});
