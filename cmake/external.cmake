# The distribution's libraries as targets. A missing one stops the build only when something links it; which package
# brings it: tools/setup.d/.
#
#   Threads::Threads absl::time fmt::fmt OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB Boost::headers GTest::gtest_main
#   heptane::xxhash heptane::isal heptane::zstd heptane::lz4 heptane::snappy heptane::simdjson heptane::toml
#   heptane::cli11 heptane::lua heptane::idn heptane::curl heptane::rocksdb heptane::rdkafka heptane::quickfix
#   heptane::duckdb: its header alone, which tools/setup puts beside the library that is opened when SQL is used

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(fmt QUIET)
find_package(OpenSSL 3 QUIET)
find_package(ZLIB QUIET)
find_package(GTest QUIET)
find_package(absl QUIET)  # the time zone database

# Headers only. Debian's 1.81 keeps them in /usr/include like its default version: only one can be installed.
find_package(Boost 1.81 QUIET)
if(NOT TARGET Boost::headers)
  find_path(HEPTANE_BOOST_INCLUDE boost/asio.hpp)
  if(HEPTANE_BOOST_INCLUDE)
    add_library(Boost::headers INTERFACE IMPORTED GLOBAL)
    target_include_directories(Boost::headers SYSTEM INTERFACE "${HEPTANE_BOOST_INCLUDE}")
  endif()
endif()

# heptane_external(NAME HEADER header [LIBRARY name]): heptane::NAME when both are there.
function(heptane_external NAME)
  cmake_parse_arguments(ARG "" "HEADER;LIBRARY" "" ${ARGN})
  find_path(HEPTANE_${NAME}_INCLUDE "${ARG_HEADER}")
  if(NOT HEPTANE_${NAME}_INCLUDE)
    return()
  endif()
  if(ARG_LIBRARY)
    find_library(HEPTANE_${NAME}_LIBRARY "${ARG_LIBRARY}")
    if(NOT HEPTANE_${NAME}_LIBRARY)
      return()
    endif()
  endif()
  add_library(heptane::${NAME} INTERFACE IMPORTED GLOBAL)
  target_include_directories(heptane::${NAME} SYSTEM INTERFACE "${HEPTANE_${NAME}_INCLUDE}")
  if(ARG_LIBRARY)
    target_link_libraries(heptane::${NAME} INTERFACE "${HEPTANE_${NAME}_LIBRARY}")
  endif()
endfunction()

heptane_external(xxhash HEADER xxhash.h)  # used with XXH_INLINE_ALL
heptane_external(isal HEADER isa-l/crc.h LIBRARY isal)
heptane_external(zstd HEADER zstd.h LIBRARY zstd)
heptane_external(lz4 HEADER lz4frame.h LIBRARY lz4)
heptane_external(snappy HEADER snappy.h LIBRARY snappy)
heptane_external(simdjson HEADER simdjson.h LIBRARY simdjson)
heptane_external(toml HEADER toml++/toml.h)
heptane_external(idn HEADER stringprep.h LIBRARY idn)
heptane_external(curl HEADER curl/curl.h LIBRARY curl)
heptane_external(cli11 HEADER CLI/CLI.hpp)
heptane_external(lua HEADER lua5.4/lua.hpp LIBRARY liblua5.4.a)
heptane_external(rocksdb HEADER rocksdb/db.h LIBRARY rocksdb)
heptane_external(rdkafka HEADER librdkafka/rdkafka.h LIBRARY rdkafka)
heptane_external(quickfix HEADER quickfix/Session.h LIBRARY quickfix)

find_path(HEPTANE_duckdb_INCLUDE duckdb.h PATHS "${CMAKE_SOURCE_DIR}/build/lib" NO_DEFAULT_PATH)
if(HEPTANE_duckdb_INCLUDE)
  add_library(heptane::duckdb INTERFACE IMPORTED GLOBAL)
  target_include_directories(heptane::duckdb SYSTEM INTERFACE "${HEPTANE_duckdb_INCLUDE}")
endif()
