# Sourced by the install scripts: packages of another Debian suite, beside the system, which stays as it is.

# debian_suite SUITE FOLDER: sets APT_OPTIONS so that apt-get knows this suite alone and keeps its files in FOLDER.
# The suite is looked for where the system's own sources are.
debian_suite() {
  local mirror
  mirror=$(grep -rhoE --include='*.list' --include='*.sources' 'https?://[^ ]*/debian/?( |$)' /etc/apt | sed -n 1p)
  mkdir -p "$2/lists/partial" "$2/cache/archives/partial"
  : >"$2/status"
  echo "deb $mirror $1 main" >"$2/sources.list"
  APT_OPTIONS=(-o "Dir::State::status=$2/status" -o "Dir::State::lists=$2/lists" -o "Dir::Cache=$2/cache"
    -o "Dir::Etc::sourcelist=$2/sources.list" -o Dir::Etc::sourceparts=- -o APT::Install-Recommends=false
    -o APT::Sandbox::User=root)
  apt-get -qq "${APT_OPTIONS[@]}" update
}
