# Filter, compute and print, bad rows left out.
NR > 1 && NF >= 5 && $4 ~ /^[0-9.]*$/ && $4 > 2 { printf "\"%s\",%.17g\n", $2, $4 * 0.9 }
