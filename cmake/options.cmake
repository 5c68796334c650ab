# Build type and flags, the same for every target.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

option(HEPTANE_WERROR "warnings are errors" ON)
option(HEPTANE_FUZZ "build libFuzzer targets (needs clang)" OFF)
set(HEPTANE_SANITIZE "" CACHE STRING "empty, address (with undefined) or thread")

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
# assert() and the library's own checks stay on here; HEPTANE_ASSERT is on everywhere.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -D_GLIBCXX_ASSERTIONS")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1")

# ${CMAKE_BINARY_DIR}/heptane; tests and fuzzers go to folders of their own.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")

add_compile_options(-Wall -Wextra -Wno-maybe-uninitialized)
# The same input gives the same floating point result on every machine: no fused multiply-add.
add_compile_options(-ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  add_compile_options(-march=x86-64-v2)
endif()

if(HEPTANE_SANITIZE STREQUAL "address")
  # A null pointer ends the program without a check of its own at every use, which takes a fifth of the compile time.
  set(HEPTANE_SANITIZER_FLAGS -fsanitize=address,undefined -fno-sanitize=null -fno-sanitize-recover=all
      -fno-omit-frame-pointer)
  add_compile_options(-Og)  # two thirds of the time that -O1 takes to compile; the tests take little longer
elseif(HEPTANE_SANITIZE STREQUAL "thread")
  set(HEPTANE_SANITIZER_FLAGS -fsanitize=thread -fno-omit-frame-pointer)
elseif(NOT HEPTANE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "HEPTANE_SANITIZE is '${HEPTANE_SANITIZE}': use address or thread")
endif()
if(HEPTANE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "HEPTANE_FUZZ needs clang: use the preset fuzz")
  endif()
  set(HEPTANE_SANITIZER_FLAGS -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
endif()

if(HEPTANE_SANITIZER_FLAGS)
  add_compile_options(${HEPTANE_SANITIZER_FLAGS})
  add_link_options(${HEPTANE_SANITIZER_FLAGS})
  # Instrumentation makes g++ see uninitialised values and overflows that are not there, and its own fences
  # unsupported: warnings count in the other presets.
  add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  else()
    add_compile_options(-Wno-unknown-warning-option)
  endif()
elseif(HEPTANE_WERROR)
  add_compile_options(-Werror)
endif()

find_program(HEPTANE_MOLD mold)
if(HEPTANE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Paths in the objects are relative to the root, so a clean clone elsewhere finds the compiler cache warm.
add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
find_program(HEPTANE_CCACHE ccache)
if(HEPTANE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(HEPTANE_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_BASEDIR=${CMAKE_SOURCE_DIR};${HEPTANE_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${HEPTANE_LAUNCHER}")
  set(CMAKE_C_COMPILER_LAUNCHER "${HEPTANE_LAUNCHER}")
endif()

# Debian's own Python, which has Debian's modules, whatever comes first on the PATH.
if(NOT Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python3_EXECUTABLE /usr/bin/python3 CACHE FILEPATH "the Python of tests and tools")
endif()
