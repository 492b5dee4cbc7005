#!/bin/sh
# Becomes a host of the lab: a machine with a disk, users, processes and an address of its own, on which there is what a fresh server
# has (sshd, sh, tar and the system's programs), and none of what this machine has beside it. Runs in namespaces of its own; its end is
# the end of the host.
#
#   host.sh NAME FOLDER DISK_SIZE     FOLDER has host_key, authorized_keys, and lent: lines of a path here and its name in /opt/lent
set -eu
name=$1 folder=$2 disk=$3
root=$folder/root

mount --make-rprivate /
mkdir -p "$root"
mount -t tmpfs -o "size=$disk,mode=755" disk "$root"
cd "$root"
mkdir -p usr etc dev proc sys run/sshd tmp var/log var/lib var/tmp root/.ssh home opt mnt .old
chmod 1777 tmp var/tmp
chmod 700 root root/.ssh
for link in bin sbin lib lib32 lib64; do
  [ ! -L "/$link" ] || cp -P "/$link" .
done
mount --rbind /usr usr
# Node of this machine is not theirs.
mount -t tmpfs -o mode=755 local usr/local
for program in node npm npx; do
  [ ! -e "usr/bin/$program" ] || mount --bind /dev/null "usr/bin/$program"
done
cp -a /etc/. etc
rm -rf etc/ssh/ssh_host_* etc/ssh/sshd_config.d
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
hostname "$name"
echo "127.0.0.1 localhost $name" >etc/hosts

grep -q ^fleetlink: etc/passwd || {
  echo 'fleetlink:x:2000:2000::/home/fleetlink:/bin/sh' >>etc/passwd
  echo 'fleetlink:x:2000:' >>etc/group
  echo 'fleetlink:*:19000:0:99999:7:::' >>etc/shadow
}
mkdir -p home/fleetlink/.ssh opt/fleetlink
install -m 600 "$folder/host_key" etc/ssh/host_key
install -m 600 "$folder/authorized_keys" root/.ssh/authorized_keys
install -m 600 "$folder/authorized_keys" home/fleetlink/.ssh/authorized_keys
cat >etc/ssh/sshd_config <<CONFIG
HostKey /etc/ssh/host_key
PasswordAuthentication no
UsePAM no
PidFile none
CONFIG
while read -r from as; do
  if [ -d "$from" ]; then mkdir -p "opt/lent/$as"; else mkdir -p opt/lent && touch "opt/lent/$as"; fi
  mount --bind "$from" "opt/lent/$as"
  mount -o remount,bind,ro "opt/lent/$as"
done <"$folder/lent"
chown -R 2000:2000 home/fleetlink opt/fleetlink

pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin tini -- /usr/sbin/sshd -D -e
