/** One request to the kernel over netlink, answered before `send` returns. */
import { AF_NETLINK, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from "./constants.ts";
import { callFailed, closeDescriptor, libc } from "./libc.ts";
import { inNetns } from "./netns.ts";

const ANSWER_BYTES = 8192;

/**
 * Sends each request in the namespace and collects the kernel's first answer to it, in order. Requests must be ones the
 * kernel answers at once (an acknowledged change or a single get; not a dump).
 *
 * @throws MeshError PLATFORM_CALL_FAILED; an error the kernel *answers* is in the answer, not thrown
 */
export function netlinkExchange(netnsFd: number, protocol: number, requests: readonly Uint8Array[]): Buffer[] {
  return inNetns(netnsFd, () => {
    const fd = libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) throw callFailed("socket", `of netlink protocol ${protocol}`);
    try {
      return requests.map((request) => exchange(fd, request));
    } finally {
      closeDescriptor(fd);
    }
  });
}

function exchange(fd: number, request: Uint8Array): Buffer {
  if (libc().send(fd, request, request.length, 0) < 0) throw callFailed("send", "on a netlink socket");
  const answer = Buffer.alloc(ANSWER_BYTES);
  const length = libc().recv(fd, answer, answer.length, MSG_DONTWAIT);
  if (length < 0) throw callFailed("recv", "on a netlink socket");
  return answer.subarray(0, length);
}
