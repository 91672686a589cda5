"""A group that lives below a changed root: chroot(2) makes / a folder that is no mount point."""

import os
import subprocess

from scene import Failure, Skip, main

# Runs a script below a root that is made of folders of this machine, in a mount namespace of its own: sh -c SETUP sh
# NEW_ROOT BINARY_FOLDER SCRIPT. Fails if a mount of the group arrives outside of it.
SETUP = """
set -e
mount -t tmpfs -o mode=755 none "$1"
mount --make-shared "$1"
mkdir "$1/root"
cd "$1/root"
mkdir proc tmp opt
for folder in dev usr lib lib64 bin etc; do
  [ -d "/$folder" ] && mkdir "$folder" && mount --rbind "/$folder" "$folder"
done
mount --bind "$2" opt
mount -t proc none proc
before=$(cat /proc/self/mountinfo)
chroot . /bin/sh -c "$3"
[ "$before" = "$(cat /proc/self/mountinfo)" ] || { echo "a mount of the group left it" >&2; exit 1; }
"""

STORY = """
set -e
export PERDURE_RUNTIME_DIR=/tmp/runtime PATH=/opt:/usr/bin:/bin
name=%s
cd /etc
perdure run -d --name $name --store /tmp/store -- sleep 1000
perdure checkpoint --wait $name --store /tmp/store
perdure kill $name --store /tmp/store
perdure restore -d $name --store /tmp/store
perdure checkpoint --wait $name --store /tmp/store
perdure show $name 2 --store /tmp/store
perdure kill $name --store /tmp/store
perdure rm $name --store /tmp/store
"""


def case_group_below_a_changed_root(scene):
    if os.geteuid() != 0:
        raise Skip("needs root, to change the root")
    root = scene.workspace.path("below")
    os.mkdir(root)
    binaries = os.path.dirname(os.path.realpath(scene.perdure.binary))
    result = subprocess.run(["unshare", "--mount", "sh", "-c", SETUP, "sh", root, binaries, STORY % scene.name],
                            env=scene.workspace.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=60, check=False)
    if result.returncode != 0:
        raise Failure(f"below a changed root: {result.stdout[-2000:]}{result.stderr}")
    for word in ("sleep", "/etc"):
        if word not in result.stdout:
            raise Failure(f"the epoch lacks {word!r}: {result.stdout}")


main(globals())
