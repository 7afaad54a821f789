#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install.sh install|uninstall   Put the commands, the systemd units and the default configuration into place, or take
# them away. PREFIX (/usr/local) is where; DESTDIR, for packages, goes in front of every path, and then nothing is started
# or stopped. Nothing is downloaded: the packages are those of .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly prefix=${PREFIX:-/usr/local} destdir=${DESTDIR:-} system=/usr/bin/python3 python=.venv/bin/python
readonly lib=$prefix/lib/containeragent config=/etc/containeragent/config.toml
readonly definitions=/etc/containeragent/containers.d example=deploy/systemd/containers.d/example.toml.disabled
readonly services=(containeragent.service containeragent-load.service containeragent-containers.service)
readonly units=("${services[@]}" containeragent.slice) commands=(containeragent containerctl)
case $prefix in # where systemd looks (systemd.unit(5)); an own prefix it does not know
    /usr | /usr/local) systemd=$prefix/lib ;;
    *) systemd=/etc ;;
esac
declare -rA completions=(
    [bash]=bash-completion/completions/containerctl
    [zsh]=zsh/site-functions/_containerctl
    [fish]=fish/vendor_completions.d/containerctl.fish
)
readonly man_pages=(man1/containerctl.1 man5/containeragent-config.5 man5/containeragent-definitions.5 man8/containeragent.8)
readonly unit_dir=$systemd/systemd/system users_dir=$systemd/sysusers.d

say() { echo "$verb: $*"; }
fail() { say "$*" >&2; exit 1; }
under_systemd() { [[ -z $destdir && -d /run/systemd/system ]]; }

check_place() {
    [[ $prefix == /* && $prefix != / ]] || fail "PREFIX=$prefix is not an absolute path below /"
    [[ -n $destdir || $EUID == 0 ]] || fail "not root: do this as root, or name a DESTDIR"
}

install_tree() { # a virtual environment without pip, the same wherever it is; the old one stays until it is complete
    local new=$destdir$lib.new site command
    rm -rf "$new" build/wheel
    mkdir -p "$destdir$prefix"/{bin,lib}
    "$system" -m venv --system-site-packages --without-pip "$new"
    rm "$new"/bin/[aA]ctivate*
    sed -i '/^command/d' "$new/pyvenv.cfg"
    site=$(echo "$new"/lib/python3*/site-packages)
    "$python" deploy/installed_packages.py requirements.lock "$site"
    "$python" -m hatchling build -t wheel -d build/wheel > /dev/null 2>&1 || fail "hatchling did not build the wheel"
    "$system" -m zipfile -e build/wheel/*.whl "$site"
    for command in "${commands[@]}"; do
        printf '#!%s -I\nfrom %s.main import main\n\nmain()\n' "$lib/bin/python3" "$command" > "$new/bin/$command"
        chmod 755 "$new/bin/$command"
        ln -sfn "$lib/bin/$command" "$destdir$prefix/bin/$command"
    done
    "$system" -m compileall -q -s "$new" -p "$lib" "${commands[@]/#/$site/}"
    install_config "$new"
    rm -rf "$destdir$lib"
    mv "$new" "$destdir$lib"
}

install_config() { # the default is kept beside the program, to tell whether an administrator changed the one in /etc
    local default=deploy/systemd/config.toml now=$destdir$config
    if [[ ! -e $now ]] || cmp -s "$now" "$destdir$lib/config.toml"; then
        install -D -m 644 "$default" "$now"
    elif ! cmp -s "$now" "$default"; then
        say "$config was changed and stays; the new default is $lib/config.toml"
    fi
    install -m 644 "$default" "$1/config.toml"
    install -D -m 644 "$example" "$destdir$definitions/${example##*/}"
}

install_units() {
    local unit
    mkdir -p "$destdir$unit_dir" "$destdir$users_dir"
    for unit in "${units[@]}"; do
        sed "s,/usr/local/,$prefix/,g" "deploy/systemd/$unit" > "$destdir$unit_dir/$unit"
    done
    install -m 644 deploy/systemd/containeragent.sysusers "$destdir$users_dir/containeragent.conf"
}

install_completions() { # where bash-completion, zsh and fish look below a prefix
    local shell file
    for shell in "${!completions[@]}"; do
        file=$destdir$prefix/share/${completions[$shell]}
        mkdir -p "${file%/*}"
        "$python" -m containerctl completion "$shell" > "$file"
    done
}

install_man_pages() {
    "$python" deploy/man_pages.py "$destdir$prefix/share/man"
}

remove_man_pages() {
    local page
    for page in "${man_pages[@]}"; do
        rm -f "$destdir$prefix/share/man/$page"
        rmdir --ignore-fail-on-non-empty "$destdir$prefix/share/man/${page%/*}" 2> /dev/null || true # man/ itself belongs to the system
    done
}

remove_completions() { # folders that are left empty are ours, or nobody's
    local file
    for file in "${completions[@]}"; do
        rm -f "$destdir$prefix/share/$file"
        (cd "$destdir$prefix/share" 2> /dev/null && rmdir -p --ignore-fail-on-non-empty "${file%/*}" 2> /dev/null) || true
    done
}

begin() {
    systemd-sysusers "$users_dir/containeragent.conf"
    systemctl daemon-reload
    if systemctl -q is-active containeragent-load; then
        say "to change over: systemctl reload containeragent-load && systemctl restart containeragent"
    else
        say "to start it, now and at every boot: systemctl enable --now containeragent"
    fi
}

containers_cgroup() { echo "$(findmnt -nfo TARGET -t cgroup2)/containeragent.slice/containeragent-containers.service"; }

refuse_with_tasks() { # they are someone's
    local cgroup tasks
    cgroup=$(containers_cgroup)
    [[ -d $cgroup ]] || return 0
    tasks=$(find "$cgroup" -name cgroup.procs ! -path '*/-agent/*' -exec cat {} + | sort -n | tr '\n' ' ')
    [[ -z $tasks ]] || fail "containers have tasks: end them first (containerctl rm NAME --recursive): $tasks"
}

end() {
    refuse_with_tasks
    systemctl -q disable --now containeragent.service containeragent-load.service
    systemctl stop containeragent-containers.service containeragent.slice
    systemctl reset-failed "${units[@]}" 2> /dev/null || true # there is nothing to reset where nothing failed
}

remove_files() {
    local now=$destdir$config
    if cmp -s "$now" "$destdir$lib/config.toml"; then
        rm "$now"
    elif [[ -e $now ]]; then
        say "$config was changed and stays"
    fi
    rm -f "$destdir$definitions/${example##*/}"
    rmdir "$destdir$definitions" 2> /dev/null || true
    rmdir "$destdir${config%/*}" 2> /dev/null || true # what else is in it stays too
    rm -rf "$destdir$lib"
    rm -f "${commands[@]/#/$destdir$prefix/bin/}" "${units[@]/#/$destdir$unit_dir/}" "$destdir$users_dir/containeragent.conf"
    rmdir --ignore-fail-on-non-empty "$destdir$unit_dir" "$destdir${unit_dir%/*}" "$destdir$users_dir"
}

remove_user() {
    getent passwd containeragent > /dev/null && userdel containeragent
    getent group containeragent > /dev/null && groupdel containeragent
    return 0
}

readonly verb=$1
check_place
case $verb in
    install)
        install_tree
        install_units
        install_completions
        install_man_pages
        ! under_systemd || begin
        ;;
    uninstall)
        ! under_systemd || end
        remove_files
        remove_completions
        remove_man_pages
        ! under_systemd || systemctl daemon-reload
        [[ -n $destdir ]] || remove_user
        ;;
    *) fail "there are only install and uninstall" ;;
esac
say "$verb done under $destdir$prefix"
