import type { Connection } from "pg";

const COPY_DATA = 0x64;
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);
const MESSAGE_BYTES = 65_536;

/** The data of a COPY … FROM STDIN that is there already. */
export function copyData(connection: Connection, bytes: Buffer): void {
  for (let from = 0; from < bytes.length; from += MESSAGE_BYTES) {
    const part = bytes.subarray(from, from + MESSAGE_BYTES);
    const header = Buffer.allocUnsafe(5);
    header[0] = COPY_DATA;
    header.writeInt32BE(part.length + 4, 1);
    connection.stream.write(header);
    connection.stream.write(part);
  }
  connection.stream.write(COPY_DONE);
}
