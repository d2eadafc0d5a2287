#!/usr/bin/env bash
# Linux 6.18, AF_UNIX sockets: a server answers ("refused, because ...") and closes without having read what its
# client had sent. A strong guess is that the client receives the answer and is told of a reset afterwards, as on a
# Unix stream, or that the answer is lost, as it may be over TCP.
#
# Seen: on SOCK_SEQPACKET the first recv() fails with ECONNRESET, the second one gives the answer, the third one the
# end. Whoever gives up at the error never learns why he was refused. On SOCK_STREAM the order is answer, ECONNRESET, end.
set -euo pipefail
here=$(mktemp -d); trap 'rm -rf "$here"' EXIT
cat >"$here/pair.py" <<'APP'
import socket

for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
    client, server = socket.socketpair(socket.AF_UNIX, kind)
    client.settimeout(10)
    client.send(b"a question that is never read")
    server.send(b"answer")
    server.close()
    seen = []
    for _ in range(3):
        try:
            seen.append(client.recv(100).decode() or "end")
        except ConnectionResetError:
            seen.append("reset")
    print(kind.name, *seen)
APP
python3 "$here/pair.py" | tee "$here/seen"
diff "$here/seen" - <<'SEEN' || { echo "changed"; exit 1; }
SOCK_SEQPACKET reset answer end
SOCK_STREAM answer reset end
SEEN
echo "as described"
